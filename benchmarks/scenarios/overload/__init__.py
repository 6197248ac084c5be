"""More reactions than the workers can drain: `python -m benchmarks overload`."""
