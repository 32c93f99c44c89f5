"""FHIR resources of what a lake holds, as plain dicts: no network, no database."""
