"""A rebuild of Redis under live writes; a part of `python -m benchmarks duties`."""
