"""A SQLite file into a PostgreSQL: its tables copied piece by piece and compared, and the marks that both bear."""
