"""What tries to break the project: a script for each promise of docs/reliability.md."""
