"""The sheet of a source."""
