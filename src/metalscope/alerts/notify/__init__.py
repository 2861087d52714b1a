"""Telling people: which messages, by which channel, until they have arrived."""
