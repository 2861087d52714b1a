"""What the system says of itself; one file a source."""
