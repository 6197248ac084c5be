"""What a Redis that dies may lose: `python -m benchmarks durability`."""
