"""Stored logits: calibration, ensembles, confidence, metrics and uncertainty. No torch."""
