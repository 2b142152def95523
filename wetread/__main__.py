"""``python -m wetread``."""

from wetread.cli.main import run

run()
