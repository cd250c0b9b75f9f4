"""The comparisons, one a file: each answers rows."""
