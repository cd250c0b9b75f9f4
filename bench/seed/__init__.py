"""Many devices and much history, quickly: copies of rows that the server wrote itself."""
