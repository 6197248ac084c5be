"""Chaos runs: real processes, a nemesis that makes faults, and a checker of the history.

``make faults ARGS="--seed 1 --minutes 5"``; docs/reliability.md says what the runs found.
"""
