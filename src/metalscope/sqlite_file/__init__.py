"""A SQLite file that one process alone writes: whose it is, its tables, its lock, its damage."""
