"""Labels that people give to faces of the pool."""
