"""The table, the JSON, the plots, and the figures in docs/benchmarks.md."""
