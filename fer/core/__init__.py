"""Ground of nearly all packages: emotions, the table and the store of faces, files, the schema of parameters."""
