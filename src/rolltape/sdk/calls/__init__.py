"""Every call of the API, described once."""
