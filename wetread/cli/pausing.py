"""``wetread pause|resume|drain``: the whole node, on every host."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from wetread.cli import models
from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json

_LOOK_SECONDS = 0.5

ReasonOption = Annotated[str | None, typer.Option(help="Why, for whoever looks.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pause", epilog="Example: wetread pause --reason 'new PACS'.")(pause)
    app.command("resume", epilog="Example: wetread resume.")(resume)
    app.command(
        "drain",
        epilog="Example: wetread drain --timeout 600 && systemctl stop wetread. "
        "Exit codes: 0 drained, 1 if the time is over or Ctrl-C came; it stays paused.",
    )(drain)


def pause(
    reason: ReasonOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Begin no job on any host; those at hand are finished, and studies are queued."""
    models.pause(None, reason, config, as_json)


def resume(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Go on with the jobs after 'wetread pause' or 'wetread drain'."""
    models.resume(None, config, as_json)


def drain(
    reason: ReasonOption = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Wait for so many seconds at most; 0: for ever.")
    ] = 0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pause, and wait until nothing is being read on any host and results have gone out.

    What waits for a destination that is away is not waited for. Images go on being received; after
    this the roles can be stopped, and 'wetread resume' goes on.
    """
    from db import overview
    from wetread.cli.node_database import node_database
    from wetread.config import load
    from wetread.roles import stop_on_signals

    settings = load(config)
    models.pause_quietly(settings, None, reason)
    database, stop = node_database(settings), threading.Event()
    stop_on_signals(stop)
    started = time.monotonic()
    with _progress() as show:
        while True:
            with database.read() as connection:
                left = overview.at_hand(connection)
            show(left)
            spent = time.monotonic() - started
            if not any(left.values()) or stop.is_set() or 0 < timeout <= spent:
                break
            stop.wait(min(_LOOK_SECONDS, timeout - spent) if timeout else _LOOK_SECONDS)
    drained = not any(left.values())
    if as_json:
        show_json({"drained": drained, **left, "seconds": round(spent, 1)})
    elif drained:
        typer.echo("drained: nothing is read or sent; 'wetread resume' goes on")
    if not drained:
        sys.stderr.write(f"wetread: not drained: {_said(left)}; it stays paused\n")
        raise typer.Exit(Exit.FAILED)


@contextmanager
def _progress() -> Iterator[Callable[[dict[str, int]], None]]:
    """What shows how much is left, on standard error: in place, or a line whenever it changes."""
    from rich.console import Console

    out = Console(stderr=True)
    if out.is_terminal:
        with out.status("draining") as status:
            yield lambda left: status.update(f"draining: {_said(left)}")
        return
    seen = list[dict[str, int]]()

    def tell(left: dict[str, int]) -> None:
        if any(left.values()) and seen[-1:] != [left]:
            sys.stderr.write(f"wetread: draining: {_said(left)}\n")
            seen.append(left)

    yield tell


def _said(left: dict[str, int]) -> str:
    return f"{left['running']} jobs are being read, {left['to_send']} results are to be sent"
