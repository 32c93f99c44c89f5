"""Readers: from the bytes of one object to rows."""
