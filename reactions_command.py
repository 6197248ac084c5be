"""The command ``reactions``: Ctrl-C is answered in one line, also while Python imports.

It stands beside the package: whoever imports a module of the package imports its client first.
"""

from __future__ import annotations

import gc
import os
import sys
from types import TracebackType


def answer_interrupts() -> None:
    """End with one line, and not with a traceback, on a Ctrl-C that nobody catches."""
    before = sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
            return
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        os._exit(130)  # Python itself would end by the signal

    sys.excepthook = end


def main() -> None:
    """Import the command line and run it."""
    gc.disable()  # an import makes next to no garbage; to look for it takes a tenth of the time
    try:
        from reactions.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    gc.freeze()
    gc.enable()
    run(prog_name="reactions")
