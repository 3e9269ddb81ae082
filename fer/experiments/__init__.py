"""Many trainings compared: networks, SSL methods, searches, rounds."""
