"""The door: what comes in, or is seen, is de-identified on the way."""
