"""``wetread simulate``: a modality that does not exist."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wetread.cli.output import ConfigOption, Exit, JsonOption, show_fields, show_json
from wetread.config import Settings, load
from wetread.origin import ConfigError
from wetread.sections import checked_ae_title

if TYPE_CHECKING:
    from delivery.associate import Peer
    from delivery.dicomweb import WebPeer
    from wetread.simulate.plan import Plan
    from wetread.simulate.run import Pace
    from wetread.simulate.tally import Outcome

    Told = Callable[[Outcome], object]


class KindOption(StrEnum):
    """As in ``wetread.simulate.plan``, for the command line."""

    chest = "chest"
    chest_cr = "chest-cr"
    head = "head"


class Size(StrEnum):
    """How large pictures are."""

    full = "full"
    small = "small"


_EPILOG = (
    "Examples: 'wetread simulate' sends ten studies to this node; "
    "'wetread simulate pacs --kind head --studies 1' one head CT to a destination; "
    "'wetread simulate --size small --seconds 600 --rate 120 --associations 8' is a load test. "
    "Everything is marked as a test; docs/simulate.md says how."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate", epilog=_EPILOG)(simulate)


def simulate(
    target: Annotated[
        str,
        typer.Argument(
            help="Name of a destination, or AET@host:port; else this node.", show_default=False
        ),
    ] = "",
    studies: Annotated[
        int | None,
        typer.Option(
            min=0, help="How many; 0: until Ctrl-C. Else 10, or by --seconds.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="Begin no study after so long; 0: no limit.")
    ] = 0,
    rate: Annotated[
        float, typer.Option(min=0, help="Studies per minute; 0: as fast as it goes.")
    ] = 0,
    associations: Annotated[
        int, typer.Option(min=1, max=64, help="Studies under way at once.")
    ] = 1,
    kind: Annotated[
        list[KindOption] | None,
        typer.Option(
            help="Taken in turn; name one twice, and it comes twice as often. Else chest and head.",
            show_default=False,
        ),
    ] = None,
    findings: Annotated[
        float, typer.Option(min=0, max=1, help="Share of studies with a finding.")
    ] = 0.3,
    patients: Annotated[
        int, typer.Option(min=0, help="How many there are; 0: a new one for each study.")
    ] = 0,
    size: Annotated[
        Size, typer.Option(help="As modalities make them, or small: for many studies.")
    ] = Size.full,
    distinct: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Patients drawn of each kind; more studies reuse the pictures."
        ),
    ] = 4,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999, help="Patients and pictures; UIDs are always new.")
    ] = 0,
    calling: Annotated[
        str,
        typer.Option(
            help="Calling AE title; else ours, or to this node that of a peer.",
            show_default=False,
        ),
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send synthetic chest radiographs and head CTs, marked as tests; fails if any is not stored.

    Ctrl-C ends it in good order: studies under way are finished.
    """
    from wetread.simulate.plan import Plan
    from wetread.simulate.run import Pace

    peer = _peer(load(config), target, calling)
    plan = Plan(
        kinds=tuple(each.value for each in kind) if kind else Plan.kinds,
        findings=findings,
        subjects=patients,
        distinct=distinct,
        seed=seed,
        small=size is Size.small,
    )
    pace = Pace(
        studies=studies if studies is not None else 0 if seconds else 10,
        seconds=seconds,
        per_minute=rate,
        associations=associations,
    )
    summary = {"target": str(peer), "seed": seed, **_run(peer, plan, pace)}
    if as_json:
        show_json(summary)
    else:
        show_fields({name: _shown(each) for name, each in summary.items()}, tuple(summary))
    if not 0 < summary["instances"] == summary["instances_stored"]:
        raise typer.Exit(Exit.FAILED)


def _peer(settings: Settings, target: str, calling: str) -> Peer | WebPeer:
    from delivery.associate import Peer
    from wetread.peers import parse_peer

    peer = parse_peer(settings, target) if target else _own(settings)
    if not calling:
        return peer
    if not isinstance(peer, Peer):
        raise typer.BadParameter("a DICOMweb destination asks for no AE title: leave --calling out")
    try:
        return replace(peer, calling_ae_title=checked_ae_title(calling))
    except ValueError as error:
        raise typer.BadParameter(f"--calling {error}") from error


def _own(settings: Settings) -> Peer:
    from wetread import certificates
    from wetread.own_receiver import NOBODY, Closed, own_receiver

    certificates.check(certificates.receiver_files(settings))
    try:
        return own_receiver(settings)
    except Closed:
        raise ConfigError(
            f"{NOBODY}: describe this node as a [[destination]], and name that"
        ) from None


def _run(peer: Peer | WebPeer, plan: Plan, pace: Pace) -> dict[str, Any]:
    from concurrent.futures.process import BrokenProcessPool

    from wetread.simulate.run import simulate as run

    try:
        with _stop_on_signals() as stop, _progress(pace.studies) as told:
            return run(peer, plan, pace, stop, told)
    except BrokenProcessPool as error:
        sys.stderr.write("wetread: a process that makes studies was killed (too little memory?)\n")
        raise typer.Exit(Exit.FAILED) from error


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, as long as studies are sent."""
    from wetread.roles import stop_on_signals

    stop = threading.Event()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    stop_on_signals(stop)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _progress(studies: int) -> Iterator[Told]:
    """A bar on a terminal, else a line per study; on standard error: results go to the other."""
    if not sys.stderr.isatty():
        yield lambda outcome: sys.stderr.write(f"{_line(outcome)}\n")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("studies  {task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=studies or None)
        yield lambda outcome: progress.update(task, advance=1, description=_line(outcome))


def _line(outcome: Outcome) -> str:
    line = f"study {outcome.number + 1} ({outcome.kind}): {outcome.stored} of {outcome.instances} "
    why = "".join(f"; {each}" for each in outcome.reasons)
    return f"{line}stored in {outcome.seconds:.2f} s{why}"


def _shown(value: object) -> object:
    """A count of several things on one line."""
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{name}: {number}" for name, number in value.items()) or None
