"""Pseudonyms: made here by a key, or asked of a trusted third party."""
