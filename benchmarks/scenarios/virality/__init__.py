"""How early a rising post is noticed: `python -m benchmarks virality TRACE`."""
