"""Detect the layout of a source, extract its faces and report on it."""
