"""Sources: where objects come from."""
