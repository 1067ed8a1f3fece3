"""One module per use case of the standard, named by its id or clause."""
