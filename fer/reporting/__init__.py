"""Results as plots, sheets, explanations and pages."""
