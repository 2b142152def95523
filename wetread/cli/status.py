"""``wetread status``: the whole node on one screen, with what is wrong on top."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from wetread.cli.output import ConfigOption, Exit, JsonOption, console, show_json

_LABEL_WIDTH = 12
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
    from wetread.condition import condition
    from wetread.config import load
    from wetread.roles import open_database

    settings = load(config)
    with open_database(settings).read() as connection:
        found = condition(settings, connection)
    if as_json:
        show_json(found)
    else:
        _show(found)
    if check and found["alarms"]:
        raise typer.Exit(Exit.FAILED)


def _show(found: dict[str, Any]) -> None:
    out = console()
    for alarm in found["alarms"]:
        out.print(f"{'ALARM':<{_LABEL_WIDTH}} {alarm['text']}", style="bold red", soft_wrap=True)
        out.print(f"{'':<{_LABEL_WIDTH}} -> {alarm['remedy']}", soft_wrap=True)
    for label, text in _lines(found):
        out.print(f"{label:<{_LABEL_WIDTH}} {text}", soft_wrap=True)


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from wetread.words import shown_size

    disk = found["disk"]
    yield from _labelled("roles", map(_process_line, found["processes"]))
    yield from _labelled("model", map(_model_line, found["models"]))
    yield "queue", _queue_line(found)
    yield "last hour", _hour_line(found["last_hour"])
    yield "latency", _latency_line(found["latency"])
    yield "disk", _disk_line(disk)
    yield "archive", f"{disk['instances']} instances, {shown_size(disk['archive_bytes'])}"
    yield "results", shown_size(disk["result_bytes"])
    yield "received", f"{shown_size(disk['received_bytes_per_hour'])} per hour"
    yield "time left", _time_left(disk["hours_left"])
    for name in ("jobs", "deliveries", "commitments"):
        states = ", ".join(f"{count} {state}" for state, count in found[name].items() if count)
        yield name, states or "none"
    yield from _labelled("paused", map(_paused_line, found["paused"]))
    yield from _labelled("disabled", map(_paused_line, found["disabled"]))
    yield from _labelled("destination", map(_destination_line, found["destinations"]))
    yield from _labelled("certificate", map(_certificate_line, found["certificates"]))


def _labelled(label: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    return ((label, line) for line in lines)


def _process_line(process: dict[str, Any]) -> str:
    state = "SILENT since" if process["silent"] else "runs since"
    since = process["seen_at"] if process["silent"] else process["started_at"]
    return f"{process['role']} {state} {since[:19]} on {process['host']}, {process['version']}"


def _model_line(model: dict[str, Any]) -> str:
    workers = "1 worker" if model["workers"] == 1 else f"{model['workers']} workers"
    provider = model["provider"].removesuffix("ExecutionProvider")
    return f"{model['name']} {model['version']} on {provider} in {workers}"


def _queue_line(found: dict[str, Any]) -> str:
    from wetread.words import shown_span

    parts = [
        f"{each['queued']} of priority {each['priority']}, oldest "
        f"{shown_span(each['oldest_seconds'])}"
        for each in found["queue"]
    ]
    if found["due"]["studies"]:
        waited = shown_span(found["due"]["oldest_seconds"])
        parts.append(f"{found['due']['studies']} studies due, oldest {waited}")
    return "; ".join(parts) or "empty"


def _hour_line(passed: dict[str, int]) -> str:
    return (
        f"{passed['instances']} images received, {passed['jobs']} jobs done, "
        f"{passed['deliveries']} results sent"
    )


def _latency_line(latency: dict[str, dict[str, Any]]) -> str:
    from wetread.words import shown_span

    parts = [
        f"{stage} {shown_span(each['median'])} (95 %: {shown_span(each['p95'])})"
        for stage, each in latency.items()
        if each["count"]
    ]
    return ", ".join(parts) or "nothing was read within the last hour"


def _certificate_line(certificate: dict[str, Any]) -> str:
    from wetread.certificates import WARN_DAYS

    days = certificate["days_left"]
    if days < 0:
        return f"{certificate['file']}: EXPIRED on {certificate['not_after'][:10]}"
    warned = "EXPIRES" if days < WARN_DAYS else "expires"
    return f"{certificate['file']}: {warned} on {certificate['not_after'][:10]}, in {days} days"


def _paused_line(pause: dict[str, Any]) -> str:
    from db.schema import EVERYTHING

    name = "all models" if pause["name"] == EVERYTHING else pause["name"]
    return f"{name} since {pause['since']}" + (f" ({pause['reason']})" if pause["reason"] else "")


def _destination_line(place: dict[str, Any]) -> str:
    line = f"{place['name']}: "
    if place["state"] == "away":
        line += f"AWAY since {place['away_since']} ({place['reason']})"
    elif place["state"] == "unknown":
        line += "NOT IN THE SETTINGS, so nobody takes what waits for it"
    else:
        line += "ok"
    if place["waiting"]:
        line += f"; {place['waiting']} wait"
    if place["held"]:
        line += f"; {place['held']} HELD: the patient may be another one, see 'wetread jobs list"
        line += " --delivery held'"
    if place["uncommitted"]:
        line += f"; {place['uncommitted']} sent and not committed yet"
    return line


def _disk_line(disk: dict[str, Any]) -> str:
    from wetread.words import shown_size

    free, mark = shown_size(disk["free_bytes"]), shown_size(disk["mark_bytes"])
    if disk["state"] == "off":
        return f"{free} free; images are taken until it is full"
    if disk["state"] == "low":
        return f"{free} free: LOW, images are refused below {mark}"
    return f"{free} free; images are refused below {mark}"


def _time_left(hours: float | None) -> str:
    if hours is None:
        return "nothing was received within 24 hours"
    if hours < 48:
        return f"{hours:.1f} hours at this rate"
    return f"{hours / 24:.0f} days at this rate"
