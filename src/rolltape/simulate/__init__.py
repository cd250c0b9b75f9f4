"""A fleet of recorders in one process, the backend that commands them, and the book that says whether all was kept."""
