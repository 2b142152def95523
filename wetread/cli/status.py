"""``wetread status``: the whole node on one screen, with what is wrong on top."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wetread import screen
from wetread.cli.output import ConfigOption, Exit, JsonOption

_EPILOG = (
    "Example: wetread status --check || mail -s 'wetread' admin@clinic.example. "
    "Exit codes: 0, or 1 with --check if there is any alarm."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", epilog=_EPILOG)(status)


def status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with code 1 if there is any alarm.")
    ] = False,
) -> None:
    """Show the node on one screen: alarms and what to do, roles, queue, disk, destinations.

    Of very many instances the counts are those that a running role took within two minutes.
    """
    from wetread.cli.node_database import node_database
    from wetread.condition import condition
    from wetread.config import load

    settings = load(config)
    with node_database(settings).read() as connection:
        found = condition(settings, connection)
    sys.stdout.write(screen.text(found, as_json=as_json, coloured=screen.coloured()))
    if check and found["alarms"]:
        raise typer.Exit(Exit.FAILED)
