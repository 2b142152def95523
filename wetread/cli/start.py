"""Where the command ``wetread`` starts; imports are what a command's start takes longest for."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["status"]:
        from wetread.cli import quick

        code = quick.status(sys.argv[2:])
        if code is not None:
            sys.exit(code)
    from wetread.cli import main

    main.run()
