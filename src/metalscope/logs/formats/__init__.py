"""The forms of a log line, one a module."""
