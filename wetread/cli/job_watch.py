"""``wetread jobs watch``: the queue as it moves."""

from __future__ import annotations

import sys
import threading
from typing import Annotated, Any

import typer

from db import stats, waiting
from db.engine import Database
from db.wake import Topic, Waiter
from wetread.cli.node_database import node_database
from wetread.cli.output import ConfigOption, JsonOption, console, table
from wetread.config import load
from wetread.roles import stop_on_signals
from wetread.words import shown_text

_COLUMNS = ("id", "state", "priority", "model", "study_uid", "attempts", "undelivered", "reason")
_LOOK_SECONDS = 1.0
_ROWS = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "watch",
        epilog="Examples: wetread jobs watch. wetread jobs watch --json | jq .state.",
    )(watch)


def watch(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    times: Annotated[int, typer.Option(min=0, help="End after this many looks; 0: at Ctrl-C.")] = 0,
) -> None:
    """Show the newest jobs as they move, until Ctrl-C: a table, or into a pipe a line per change.

    With --json each line is an object with the keys of 'wetread jobs list'.
    """
    database = node_database(load(config))
    stop = threading.Event()
    stop_on_signals(stop)
    with Waiter(database, Topic.JOBS) as waiter:
        if sys.stdout.isatty() and not as_json:
            _watch_table(database, waiter, stop, times)
        else:
            _watch_lines(database, waiter, stop, times, as_json=as_json)


def _watch_table(database: Database, waiter: Waiter, stop: threading.Event, times: int) -> None:
    from rich.console import Group
    from rich.live import Live

    looks = 0
    with Live(console=console(), auto_refresh=False) as live:
        while not stop.is_set():
            with database.read() as connection:
                rows, left = stats.jobs(connection, limit=_ROWS), waiting.queued(connection)
            queued = sum(each.jobs for each in left)
            live.update(Group(table(rows, _COLUMNS), f"{queued} queued"), refresh=True)
            looks += 1
            if looks == times:
                return
            waiter.wait(_LOOK_SECONDS, stop)
            stop.wait(0.2)  # a busy queue moves faster than anybody reads


def _watch_lines(
    database: Database, waiter: Waiter, stop: threading.Event, times: int, *, as_json: bool
) -> None:
    import json

    seen: dict[int, dict[str, Any]] = {}
    looks = 0
    while not stop.is_set():
        with database.read() as connection:
            rows = stats.jobs(connection, limit=_ROWS * 10)
        for row in reversed(rows):
            if seen.get(row["id"]) != row:
                line = json.dumps(row, ensure_ascii=False) if as_json else _line(row)
                typer.echo(line)
        seen = {row["id"]: row for row in rows}
        looks += 1
        if looks == times:
            return
        waiter.wait(_LOOK_SECONDS, stop)


def _line(row: dict[str, Any]) -> str:
    reason = f": {row['reason']}" if row["reason"] else ""
    return shown_text(f"job {row['id']} {row['model']} {row['state']}{reason}")
