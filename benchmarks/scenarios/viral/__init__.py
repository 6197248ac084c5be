"""One post goes viral: `python -m benchmarks viral`."""
