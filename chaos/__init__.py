"""Fault runs: real processes, a nemesis, and a checker that goes by the history alone.

``make faults ARGS="--seed 1 --minutes 5"``; docs/reliability.md tells what they found.
"""
