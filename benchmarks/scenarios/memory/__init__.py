"""Bytes that Redis needs for reactions: `python -m benchmarks memory`."""
