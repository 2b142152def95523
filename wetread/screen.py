"""The node on one screen, as text for a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from wetread.words import as_json_text, shown_moment, shown_size, shown_span, shown_text

_LABEL_WIDTH = 12
_ALARM, _PLAIN = "\x1b[1;31m", "\x1b[0m"


def coloured() -> bool:
    """Whether standard output shows colours, and whoever looks at it wants them."""
    wanted = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def text(found: dict[str, Any], *, as_json: bool, coloured: bool) -> str:
    """What ``wetread status`` prints.

    Parameters
    ----------
    found
        From ``wetread.condition``.
    as_json
        Instead of lines.
    coloured
        Whether alarms stand out.
    """
    return as_json_text(found) if as_json else "".join(_lines(found, coloured=coloured))


def _lines(found: dict[str, Any], *, coloured: bool) -> Iterator[str]:
    begin, end = (_ALARM, _PLAIN) if coloured else ("", "")
    for alarm in found["alarms"]:
        yield f"{begin}{_line('ALARM', alarm['text'])}{end}\n"
        yield _line("", f"-> {alarm['remedy']}") + "\n"
    for label, said in _labels(found):
        yield _line(label, said) + "\n"


def _line(label: str, said: str) -> str:
    return f"{label:<{_LABEL_WIDTH}} {shown_text(said)}"


def _labels(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    disk = found["disk"]
    yield from _labelled("roles", map(_process_line, found["processes"]))
    yield from _labelled("model", map(_model_line, found["models"]))
    yield from _labelled("gpu", map(_gpu_line, found["gpus"]))
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
    moment = shown_moment(since)
    return f"{process['role']} {state} {moment} on {process['host']}, {process['version']}"


def _model_line(model: dict[str, Any]) -> str:
    workers = "1 worker" if model["workers"] == 1 else f"{model['workers']} workers"
    provider = model["provider"].removesuffix("ExecutionProvider")
    spared = ", beside a GPU," if model["beside_gpu"] and provider == "CPU" else ""
    return f"{model['name']} {model['version']} on {provider}{spared} in {workers}"


def _gpu_line(gpu: dict[str, Any]) -> str:
    if gpu["number"] is None:
        return f"none on {gpu['host']}"
    used, total = shown_size(gpu["memory_used"]), shown_size(gpu["memory_total"])
    busy = f"{100 * gpu['utilization']:.0f} % busy"
    return f"{gpu['number']} on {gpu['host']}: {busy}, {used} of {total} in use"


def _queue_line(found: dict[str, Any]) -> str:
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
    parts = [
        f"{stage} {shown_span(each['median'])} (95 %: {shown_span(each['p95'])})"
        for stage, each in latency.items()
        if each["count"]
    ]
    return ", ".join(parts) or "nothing was read within the last hour"


def _certificate_line(certificate: dict[str, Any]) -> str:
    from wetread.certificates import WARN_DAYS

    if certificate["trouble"]:
        return str(certificate["trouble"])
    days = certificate["days_left"]
    if days < 0:
        return f"{certificate['file']}: EXPIRED on {certificate['not_after'][:10]}"
    warned = "EXPIRES" if days < WARN_DAYS else "expires"
    return f"{certificate['file']}: {warned} on {certificate['not_after'][:10]}, in {days} days"


def _paused_line(pause: dict[str, Any]) -> str:
    from db.schema import EVERYTHING

    name = "all models" if pause["name"] == EVERYTHING else pause["name"]
    return f"{name} since {shown_moment(pause['since'])}" + (
        f" ({pause['reason']})" if pause["reason"] else ""
    )


def _destination_line(place: dict[str, Any]) -> str:
    line = f"{place['name']}: "
    if place["state"] == "away":
        line += f"AWAY since {shown_moment(place['away_since'])} ({place['reason']})"
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
