"""The package that `fer predict` loads, and its model card."""
