"""The command ``reactions``: Ctrl-C is answered in one line, also while Python imports.

It stands beside the package: whoever imports a module of the package imports its client first.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Import the command line and run it."""
    try:
        from reactions.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    run(prog_name="reactions")
