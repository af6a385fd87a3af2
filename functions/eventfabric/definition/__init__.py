"""The definition of a fabric: its schema, and reading it from a file, checking it and documenting it."""
