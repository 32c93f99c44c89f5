"""Enrichers."""
