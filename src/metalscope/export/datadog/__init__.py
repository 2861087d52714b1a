"""Datadog: its API in two versions, and DogStatsD."""
