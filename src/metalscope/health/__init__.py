"""Health: component statuses with their reasons."""
