"""What every command shares: options, exit codes, and results as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wetread.words import as_json_text, shown_moment, shown_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    FAILED = 1
    """The peer, the file or the state of things did not allow it."""
    USAGE = 2
    """Wrong arguments."""
    CONFIG = 3
    """The settings or a model package cannot be used."""
    NOT_FOUND = 4
    """No such job or study."""


_MOMENTS = ("at", "since")  # columns with times, besides those in _at

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        help="Settings file; else $WETREAD_CONFIG, else ./wetread.toml.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Bare JSON on standard output.")]


def show_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(as_json_text(value))


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
    """Print rows as a table; plain and unwrapped when standard output is no terminal."""
    if not rows:
        typer.echo(empty)
        return
    console().print(table(rows, columns))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """Rows as a table."""
    from rich.table import Table

    made = Table(*(name.replace("_", " ") for name in columns), box=None, pad_edge=False)
    for row in rows:
        made.add_row(*(_cell(name, row[name]) for name in columns))
    return made


def show_fields(row: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Print one row as lines of name and value."""
    width = max(len(name) for name in columns)
    for name in columns:
        typer.echo(f"{name.replace('_', ' '):<{width}}  {_cell(name, row[name])}")


def console() -> Console:
    """A console on standard output that does not fold lines of a pipe."""
    from rich.console import Console

    # Cells hold paths and reasons as they are: "[models]" is no markup.
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    return Console(**plain) if sys.stdout.isatty() else Console(width=300, **plain)


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name in _MOMENTS or name.endswith("_at"):
        return shown_moment(str(value))
    if isinstance(value, list):
        value = " ".join(str(each) for each in value) or "-"
    return shown_text(str(value))
