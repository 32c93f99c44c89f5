"""Readers of clinical files: each turns one file into staged rows, and says what it cannot read."""
