"""Where log records go, one place a module."""
