"""Process start and end: one-line errors, stages under DVC, parallel work and YAML. Nothing here changes a result."""
