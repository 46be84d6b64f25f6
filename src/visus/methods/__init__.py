"""One folder per paper. Folders never import each other."""
