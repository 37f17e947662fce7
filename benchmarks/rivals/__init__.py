"""The parts of benchmarks/rivals.py: histories, environments, adapters, scores, table."""
