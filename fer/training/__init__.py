"""Augmentation, training sets, the training loop, optimisers, online pseudo-labels and checkpoints."""
