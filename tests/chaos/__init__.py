"""Chaos: two nodes and PostgreSQL, tormented while a fleet works, and what is true afterwards."""
