"""Select unlabelled faces to learn from, with labels and weights: policies, estimates and reviews."""
