"""``wetread health``: whether a role runs on this host, for containers and scripts."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Annotated

import typer

from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json
from wetread.config import load


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health", epilog="Example: wetread health work || systemctl restart wetread")(
        health
    )


def health(
    role: Annotated[str, typer.Argument(help="receive, work, deliver, tidy or web.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a role runs on this host: whether it said so within the last 20 seconds.

    Exit code 0 if it does, 1 if it does not, or the database does not answer.
    """
    from db import processes
    from wetread.cli.node_database import node_database
    from wetread.roles import ROLES

    if role not in ROLES:
        raise typer.BadParameter(f"there is no role {role!r}: {', '.join(ROLES)}")
    host = socket.gethostname()
    database = node_database(load(config))
    with closing(database), database.read() as connection:
        seen = processes.seen(connection)
    count = sum((each.role, each.host, each.silent) == (role, host, False) for each in seen)
    if as_json:
        show_json({"role": role, "host": host, "processes": count})
    else:
        typer.echo(f"{role} on {host}: {count} running")
    if not count:
        raise typer.Exit(Exit.FAILED)
