"""Duplicates, folds, and one table for all sources."""
