"""How often reads reach PostgreSQL: `python -m benchmarks reads`."""
