"""Benchmarks of the engine on servers of their own: ``python -m benchmarks.<name> [--json]``.

memory   bytes that Redis needs for reactions, beside a plain hash
viral    one post goes viral while workers drain: is anything lost, and what does it cost
reads    how often reads reach PostgreSQL, and how fast they are
"""
