"""MetalAlertsManager: rules over the snapshot, the life of an alert, and who is told of it."""
