"""Compare predictions and pseudo-labels with the truth."""
