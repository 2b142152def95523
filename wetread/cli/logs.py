"""``wetread logs``: what the roles on this data folder wrote to their log file."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from wetread.cli.options import SinceOption
from wetread.cli.output import ConfigOption, Exit, JsonOption
from wetread.log_reading import LEVELS
from wetread.words import shown_text

_SHOWN_FIRST = ("timestamp", "level", "role", "event")
_EPILOG = (
    "Examples: wetread logs --level warning --since 1h. wetread logs --follow --role deliver. "
    "wetread logs --job 4711. wetread logs --study 1.2.840.113619.2.1.77 --json | jq .event."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("logs", epilog=_EPILOG)(logs)


def _level(value: str) -> str:
    if value not in LEVELS:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(LEVELS)}")
    return value


def logs(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    level: Annotated[
        str,
        typer.Option(parser=_level, metavar="LEVEL", help=f"At least: {', '.join(LEVELS)}."),
    ] = "debug",
    event: Annotated[
        str | None, typer.Option(help="Only events whose name begins like this.")
    ] = None,
    job: Annotated[int | None, typer.Option(help="Only what is about this job.")] = None,
    study: Annotated[
        str | None, typer.Option(help="Only what is about this Study Instance UID.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(help="Only of this role: receive, work, deliver, tidy, supervisor."),
    ] = None,
    since: SinceOption = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=1_000_000, help="The last so many.")
    ] = 200,
) -> None:
    """Show what the roles wrote to the log file, the last lines first found, oldest on top.

    With --json each line is an object, as it was written. No line holds a patient's data.
    """
    import threading

    from wetread import log_reading
    from wetread.config import load
    from wetread.roles import stop_on_signals

    file = load(config).log_file()
    if file is None:
        sys.stderr.write("wetread: no log file is kept: [log] file is empty\n")
        raise typer.Exit(Exit.FAILED)
    wanted = log_reading.Wanted(
        level=level, event=event, job_id=job, study_uid=study, role=role, since=since
    )
    stop = threading.Event()
    if follow:
        stop_on_signals(stop)
        coming = log_reading.follow(file, wanted, stop)
    for line in log_reading.last(file, wanted, lines) if lines else ():
        _show(line, as_json=as_json)
    if follow:
        for line in coming:
            _show(line, as_json=as_json)


def _show(line: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(line, ensure_ascii=False))
        return
    first = " ".join(f"{line.get(name, '-'):<8}" for name in _SHOWN_FIRST)
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name not in _SHOWN_FIRST)
    typer.echo(shown_text(f"{first} {rest}"))
