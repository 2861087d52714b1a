"""What waits to be sent, in memory or on disk."""
