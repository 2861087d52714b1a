"""Spans of operations: which are kept, what they hold, and where they go."""
