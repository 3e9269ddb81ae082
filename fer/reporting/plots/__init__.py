"""Plots of the figures in `metrics/`."""
