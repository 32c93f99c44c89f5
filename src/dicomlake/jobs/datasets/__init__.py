"""Datasets: a cohort written out, cleaned, checked and packed for whoever is to work with it."""
