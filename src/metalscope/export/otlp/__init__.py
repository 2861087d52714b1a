"""OpenTelemetry: its protocol, its names, and an application's own pipeline."""
