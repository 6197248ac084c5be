"""Runs the command line for ``python -m reactions``."""

from reactions_command import main

main()
