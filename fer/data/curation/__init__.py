"""Duplicates, folds, and the table of all sources."""
