"""Engines: run queries on the snapshot of a lake."""
