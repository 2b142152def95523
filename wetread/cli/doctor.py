"""``wetread doctor``: looks at the node and all around it, and says what to do."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from wetread.cli.output import ConfigOption, Exit, JsonOption, console, show_json
from wetread.config import Settings, load
from wetread.origin import ConfigError, find_file
from wetread.version import VERSION

if TYPE_CHECKING:
    from wetread.doctor.examination import Check, Examined

ROUND_TRIP = "round-trip"
_MARKS = {"ok": "ok", "skipped": "skip", "warning": "WARN", "failed": "FAIL"}
_STYLES = {"ok": "green", "skipped": "dim", "warning": "yellow", "failed": "bold red"}
_EXAMPLES = (
    "Examples: 'wetread doctor' after an installation; 'wetread doctor --quick --json' from a "
    "monitor; 'wetread doctor --only destinations' when the PACS was changed; 'wetread doctor "
    "--round-trip' at commissioning. Exit code 1 if anything failed, 0 if not. docs/doctor.md "
    "lists the checks."
)

Names = Annotated[
    list[str] | None, typer.Option(help="Only this check and those that it needs; repeatable.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=_EXAMPLES)(doctor)


def doctor(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    only: Names = None,
    skip: Annotated[
        list[str] | None, typer.Option(help="Not this check, whoever needs it; repeatable.")
    ] = None,
    round_trip: Annotated[
        bool | None,
        typer.Option(
            "--round-trip/--quick",
            help="Whether to send a marked test study through the node; its results go to every "
            "destination. Without either a terminal is asked, and nobody else gets one.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=1, max=900, help="Seconds that the test study may take.")
    ] = 120.0,
) -> None:
    """Look at settings, database, disk, processes, models and network, and say what to do.

    Nothing is changed but for the test study, where it is wanted.
    """
    from wetread.doctor.checks import CHECKS
    from wetread.doctor.examination import UnknownCheck, chosen, examine
    from wetread.doctor.surroundings import Surroundings

    try:
        checks = chosen(CHECKS, only or [], skip or [])
    except UnknownCheck as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.USAGE) from error
    try:
        settings, file = load(config), find_file(config)
    except ConfigError as error:
        _conclude(_show(_unusable(error), as_json), as_json)
        return
    surroundings = Surroundings(settings=settings, file=file, patience_seconds=wait)
    if round_trip is None and not as_json and ROUND_TRIP in {each.name for each in checks}:
        round_trip = _asked(settings)
    checks = [_unless_unwanted(each, round_trip) for each in checks]
    with _progress(as_json) as begins:
        examined = _show(examine(checks, surroundings, begins), as_json)
    _conclude(examined, as_json)


def _unusable(error: ConfigError) -> Iterator[Examined]:
    """Settings that cannot be read, as findings."""
    from wetread.doctor.checks import CHECKS
    from wetread.doctor.examination import Examined
    from wetread.doctor.finding import failed

    for line in str(error).splitlines():
        remedy = "correct it; docs/settings.md lists every key. Nothing else was looked at"
        yield Examined(CHECKS[0], failed("settings", line, remedy))


def _asked(settings: Settings) -> bool | None:
    """Whether whoever sits at the terminal wants the test study; None if nobody does."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    places = ", ".join(each.name for each in settings.destination) or "nobody, none is listed"
    typer.echo(
        "The round trip stores a marked test study of nobody (WETREAD-TEST-...) in this node,"
    )
    typer.echo(f"and sends its results to: {places}")
    return typer.confirm("Send the test study?", default=False)


def _unless_unwanted(check: Check, wanted: bool | None) -> Check:
    """The round trip only for who wants it; a check of another kind as it is."""
    from wetread.doctor.finding import skipped

    if check.name != ROUND_TRIP or wanted:
        return check
    finding = skipped(
        "test study",
        "not sent: its results would go to every destination",
        "--round-trip sends it, when a test patient in the PACS surprises nobody",
    )
    return replace(check, look=lambda _: [finding], needs=())


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[Check], None]]:
    """Say on a terminal what is being looked at."""
    screen = Console(stderr=True) if as_json else console()
    if not screen.is_terminal:
        yield lambda _: None
        return
    with screen.status("") as status:
        yield lambda check: status.update(check.name)


def _show(found: Iterable[Examined], as_json: bool) -> list[Examined]:
    """Print findings as they come, unless they are to be JSON."""
    examined: list[Examined] = []
    area, screen = "", console()
    for each in found:
        examined.append(each)
        if as_json:
            continue
        if each.check.area != area:
            area = each.check.area
            screen.print(area, style="bold")
        finding, mark = each.finding, _MARKS[each.finding.verdict]
        line = Text(_folded(f"  {mark:<6}", f"{finding.subject}: {finding.found}", screen))
        line.stylize(_STYLES[finding.verdict], 2, 2 + len(mark))
        screen.print(line, soft_wrap=True)
        if finding.remedy:
            screen.print(_folded(" " * 8, f"-> {finding.remedy}", screen), soft_wrap=True)
    return examined


def _folded(begin: str, text: str, screen: Console) -> str:
    """A text in lines that a terminal can show, the further ones under the first word."""
    if not screen.is_terminal:
        return begin + text
    return textwrap.fill(
        text,
        max(screen.width, 40),
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _conclude(examined: Sequence[Examined], as_json: bool) -> None:
    """Say how it is as a whole.

    Raises
    ------
    typer.Exit
        With ``Exit.FAILED`` if anything failed.
    """
    counts = Counter(str(each.finding.verdict) for each in examined)
    if as_json:
        rows = [
            {"check": each.check.name, "area": each.check.area, **each.finding.as_row()}
            for each in examined
        ]
        show_json({"version": VERSION, "ok": not counts["failed"], "findings": rows})
    else:
        parts = [f"{counts[name]} {name}" for name in _MARKS if counts[name]]
        typer.echo(", ".join(parts))
    if counts["failed"]:
        raise typer.Exit(Exit.FAILED)
