"""FHIR resources of a lake: made, published, kept up to date on other servers."""
