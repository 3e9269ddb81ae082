"""What nearly all packages use: emotions, the table and the store of faces, files, the schema of parameters."""
