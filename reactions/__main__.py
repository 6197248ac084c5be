"""``python -m reactions``."""

from reactions.cli import main

main(prog_name="reactions")
