"""Profiles of ours in FHIR Shorthand, and the programs that compile what the validator reads."""
