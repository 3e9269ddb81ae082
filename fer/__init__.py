"""Semi-supervised facial expression recognition: the library behind the stages in `pipeline/`."""
