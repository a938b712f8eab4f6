"""Files that travel with the package: the built-in model, the corpus listing, run files."""
