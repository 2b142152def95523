"""What the lists share: since when, how many, from where on, and who may see whose study it is."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.errors import NotFound, StoreError
from wetread.cli.output import Exit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from audit.trail import Trail

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_MOST = 10_000

PHI_COLUMNS = ("patient_name", "patient_id", "accession_number")


def parse_moment(value: str) -> float:
    """A moment as seconds since 1970, from a span of time up to now or a date and time.

    Raises
    ------
    typer.BadParameter
        It is neither.
    """
    span = _SPAN.fullmatch(value.strip())
    if span is not None:
        return time.time() - float(span[1]) * _UNITS[span[2]]
    try:
        return datetime.fromisoformat(value.strip()).astimezone().timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise typer.BadParameter(
            f"{value!r} is neither a span such as 90s, 15m, 2h, 3d, 1w nor a time such as "
            "2026-03-01T08:00 (this host's time zone, unless it names another)"
        ) from error


SinceOption = Annotated[
    float | None,
    typer.Option(
        parser=parse_moment,
        metavar="TIME",
        help="Only what is not older: 15m, 2h, 3d, or a time such as 2026-03-01T08:00.",
    ),
]
LimitOption = Annotated[
    int, typer.Option(min=1, max=_MOST, help="At most this many, newest first.")
]
BeforeOption = Annotated[
    int | None,
    typer.Option(min=1, max=2**31, help="Go on behind this id, the last of the page before."),
]
PhiOption = Annotated[
    bool,
    typer.Option(
        "--phi",
        help="Also show patient name, patient ID and accession number; this goes to the audit "
        "trail.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def with_identities(
    connection: Connection, trail: Trail, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows with whose study each is about; patient identity, and the audit trail says who saw it.

    Parameters
    ----------
    connection, trail
        The transaction, and where it is told, for each study.
    rows
        Each with a ``study_uid``.
    """
    from db import identities
    from db.identities import Person

    uids = list(dict.fromkeys(row["study_uid"] for row in rows))
    people = identities.of(connection, uids)
    for uid in uids:
        trail.admin_action("patient identity shown", f"wetread:study:{uid}", uid)
    return [
        row | {name: getattr(people.get(row["study_uid"], Person()), name) for name in PHI_COLUMNS}
        for row in rows
    ]


def tell_more(rows: Sequence[Mapping[str, Any]], limit: int, key: str) -> None:
    """Say on standard error how to see the next page, if there may be one."""
    if len(rows) == limit:
        sys.stderr.write(f"wetread: there may be more; go on with --before {rows[-1][key]}\n")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is done to many; without a terminal there must be ``--yes``.

    Raises
    ------
    typer.Exit
        The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        sys.stderr.write(f"wetread: {question} Say --yes.\n")
        raise typer.Exit(Exit.USAGE)
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.FAILED)


def for_each(
    what: Sequence[int],
    act: Callable[[int], dict[str, Any]],
    show: Callable[[list[dict[str, Any]]], None],
) -> None:
    """Do something to each of several; one that cannot be does not keep the others from it.

    Raises
    ------
    typer.Exit
        Some could not be done; standard error says which, and why.
    """
    done, errors = [], list[StoreError]()
    for each in what:
        try:
            done.append(act(each))
        except StoreError as error:
            errors.append(error)
    if done or not errors:
        show(done)
    for reason in errors:
        sys.stderr.write(f"wetread: {reason}\n")
    if errors:
        unknown = all(isinstance(reason, NotFound) for reason in errors)
        raise typer.Exit(Exit.NOT_FOUND if unknown else Exit.FAILED)
