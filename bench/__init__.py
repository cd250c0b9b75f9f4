"""Benchmarks: Rolltape beside a hand-written peer, in one run on one machine. `python -m bench` runs all."""
