"""Sinks: where what the lake publishes goes."""
