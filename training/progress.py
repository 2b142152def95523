"""Tells a person how far training is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


class Progress:
    """Writes to standard error; results go to standard output.

    Parameters
    ----------
    quiet
        Say nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """Say one line."""
        self._console.print(text, markup=False)

    def track(self, items: Iterable[T], total: int, text: str) -> Iterator[T]:
        """Yield ``items`` and show how many of ``total`` are through."""
        if self._console.is_terminal:
            yield from track(items, text, total, console=self._console, transient=True)
        else:
            yield from items
