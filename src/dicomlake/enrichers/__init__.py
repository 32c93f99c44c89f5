"""Enrichers: what is said of series beyond their headers; each is a class that fits `Enricher`."""
