"""Benchmarks, each on servers of its own: ``python -m benchmarks NAME [options]``.

``compare/`` measures this system beside what a user would build instead, ``scenarios/`` one
question at a time; ``support/`` starts servers, fills them and prints figures.
"""
