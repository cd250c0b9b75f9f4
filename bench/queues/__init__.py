"""Queues and brokers as peers: one call of their own client library puts one job away durably."""
