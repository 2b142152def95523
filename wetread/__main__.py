"""``python -m wetread``."""

from wetread.cli.start import run

run()
