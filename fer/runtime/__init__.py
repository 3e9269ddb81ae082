"""How a process runs and ends: errors in one line, stages under DVC, parallel work, YAML. It changes no result."""
