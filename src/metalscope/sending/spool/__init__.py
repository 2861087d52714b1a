"""What waits to be sent by exporters and log sinks, in memory or on disk."""
