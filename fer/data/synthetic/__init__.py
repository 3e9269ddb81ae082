"""The drawn faces of the default run."""
