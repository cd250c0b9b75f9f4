"""The peer: the same two calls as a good engineer would write them in an afternoon, on the usual stack."""
