"""Readers of dataset layouts, one module each, and the records that they yield."""
