"""The condition of the node, as plain data: what 'wetread status' and the dashboard show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from db import figures, overview, processes, throughput, waiting
from db.processes import Seen
from db.stats import iso
from db.waiting import Waiting, grouped
from scp.disk import MEGABYTE, free_bytes
from wetread import certificates
from wetread.alarms import alarms
from wetread.config import Settings
from wetread.gpu import GPU_KEYS, by_host
from wetread.origin import ConfigError
from wetread.presence import TOTALS
from wetread.version import VERSION

_FRESH_SECONDS = 120.0
_HOUR_SECONDS = 3600.0
_QUICKLY_COUNTED = 50_000  # instances


def condition(settings: Settings, connection: Connection) -> dict[str, Any]:
    """How the node is, on all hosts.

    Returns
    -------
    dict
        JSON values, described in docs/operating.md; ``alarms`` comes first.
    """
    totals = _totals(connection)
    seen, queued = processes.seen(connection), waiting.queued(connection)
    found = {
        "version": VERSION,
        "expected": sorted(set(settings.roles())),
        "processes": [_process(each) for each in seen],
        "models": _models(seen),
        "gpus": _gpus(seen),
        "queue": _queue(queued),
        "queued_models": _queued_models(queued),
        "due": overview.due(connection),
        "failed": overview.failed(connection),
        "last_hour": throughput.passed(connection, seconds=_HOUR_SECONDS),
        "latency": throughput.latencies(connection, seconds=_HOUR_SECONDS),
        "disk": _disk(settings, totals["stored"]),
        **{name: totals[name] for name in ("jobs", "deliveries", "commitments")},
        "paused": overview.paused(connection),
        "disabled": overview.disabled(connection),
        "destinations": overview.destinations(
            connection, [each.name for each in settings.destination]
        ),
        "certificates": _certificates(settings),
    }
    return {"alarms": [vars(each) for each in alarms(found)], **found}


def _totals(connection: Connection) -> dict[str, Any]:
    """What is costly to count, as a role counted it a moment ago; what is quickly counted, now."""
    counted = figures.shown(connection, TOTALS)
    if counted is not None and counted.value is not None and counted.age <= _FRESH_SECONDS:
        found: dict[str, Any] = counted.value
        if found["stored"]["instances"] > _QUICKLY_COUNTED:
            return found
    return overview.totals(connection)


def _queue(queued: Sequence[Waiting]) -> list[dict[str, Any]]:
    return [
        {"priority": priority, "queued": jobs, "oldest_seconds": oldest}
        for priority, (jobs, oldest) in grouped(queued, lambda each: each.priority).items()
    ]


def _queued_models(queued: Sequence[Waiting]) -> list[dict[str, Any]]:
    models = grouped(queued, lambda each: (each.model, each.version))
    return [
        {"name": name, "version": number, "queued": jobs}
        for (name, number), (jobs, _) in sorted(models.items())
    ]


def _process(seen: Seen) -> dict[str, Any]:
    return {
        "role": seen.role,
        "host": seen.host,
        "pid": seen.pid,
        "version": seen.version,
        "started_at": iso(seen.started_at),
        "seen_at": iso(seen.seen_at),
        "silent": seen.silent,
        "clock_offset": seen.details.get("clock_offset"),
        "events": seen.details.get("events", {}),
    }


def _models(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Models that workers have loaded, on which device, and how many workers have it there."""
    workers = Counter(
        (each["name"], each["version"], each["provider"], bool(process.details.get("gpus")))
        for process in seen
        if process.role == "work" and not process.silent
        for each in process.details.get("models", [])
    )
    names = ("name", "version", "provider", "beside_gpu")
    return [
        dict(zip(names, place, strict=True)) | {"workers": count}
        for place, count in sorted(workers.items())
    ]


def _gpus(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Those of every host with a worker; of one without a GPU, what is told of it is null."""
    rows = []
    for host, gpus in sorted(by_host([each for each in seen if not each.silent]).items()):
        rows += [{"host": host, "number": number} | gpu for number, gpu in enumerate(gpus)]
        if not gpus:
            rows.append({"host": host, "number": None} | dict.fromkeys(GPU_KEYS))
    return rows


def _disk(settings: Settings, stored: dict[str, Any]) -> dict[str, Any]:
    mark = settings.node.free_megabytes * MEGABYTE
    folder = settings.node.data_dir  # which the first role makes
    free = free_bytes(next(each for each in (folder, *folder.parents) if each.exists()))
    hours_left = None
    if stored["bytes_per_hour"]:
        hours_left = round(max(0, free - mark) / stored["bytes_per_hour"], 1)
    return {
        "state": "off" if not mark else "low" if free < mark else "ok",
        "free_bytes": free,
        "mark_bytes": mark,
        "instances": stored["instances"],
        "archive_bytes": stored["instance_bytes"],
        "result_bytes": stored["result_bytes"],
        "received_bytes_per_hour": round(stored["bytes_per_hour"]),
        "hours_left": hours_left,
    }


def _certificates(settings: Settings) -> list[dict[str, Any]]:
    return [_certificate(each) for each in certificates.names(certificates.all_files(settings))]


def _certificate(file: str) -> dict[str, Any]:
    try:
        end = certificates.end(file)
    except ConfigError as error:  # which is no reason to tell nothing else
        return {"file": file, "not_after": None, "days_left": None, "trouble": str(error)}
    days_left = (end - datetime.now(UTC)).days
    return {"file": file, "not_after": end.isoformat(), "days_left": days_left, "trouble": None}
