"""Runs the command line for ``python -m reactions``."""

from reactions.cli.main import main

main(prog_name="reactions")
