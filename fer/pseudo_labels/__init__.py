"""Which unlabelled faces to learn from, and with what label and weight."""
