"""Predictions and pseudo-labels compared with the truth."""
