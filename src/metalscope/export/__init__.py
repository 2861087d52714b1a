"""What carries the snapshot to other systems; one file a platform."""
