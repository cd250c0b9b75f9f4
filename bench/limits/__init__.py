"""The least that could be done: what no server on this machine gets past."""
