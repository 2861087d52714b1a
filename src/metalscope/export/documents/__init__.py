"""Snapshots as documents: JSON to webhooks and files, tables for notebooks."""
