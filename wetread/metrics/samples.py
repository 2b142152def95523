"""How the node is at this moment, as the values of its gauges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection

from db import figures, gauges, holds, metering, migrate, processes, waiting
from db.engine import now
from db.jobs import ROUTINE, UNDECIDED, URGENT
from db.processes import Seen
from db.schema import JobState
from scp.disk import MEGABYTE, free_bytes
from wetread import certificates
from wetread.config import Settings
from wetread.gpu import by_host
from wetread.metrics import families as f
from wetread.metrics.families import Gauge
from wetread.origin import ConfigError
from wetread.roles import ROLES
from wetread.version import VERSION

_PRIORITIES = ((URGENT, "urgent"), (UNDECIDED, "undecided"), (ROUTINE, "routine"))


class Sample(NamedTuple):
    """A gauge's value for some labels, in the order of the gauge's."""

    gauge: Gauge
    labels: tuple[str, ...]
    value: float


def of_this_host(settings: Settings) -> Iterator[Sample]:
    """What can be told without the database."""
    yield Sample(f.INFO, (VERSION,), 1)
    yield Sample(f.DISK_MARK, (), settings.node.free_megabytes * MEGABYTE)
    with suppress(OSError):  # while it is away no number is right
        yield Sample(f.DISK_FREE, (), free_bytes(settings.node.data_dir))
    yield from _certificates(settings)


def of_the_node(connection: Connection, settings: Settings) -> Iterator[Sample]:
    """What the database knows, of all hosts."""
    yield Sample(f.SCHEMA, (migrate.revision(connection) or "none",), 1)
    counted = figures.shown(connection, metering.PASS)
    if counted is not None:
        yield Sample(f.COUNTED, (), max(0.0, now(connection) - counted.value))
    yield from _queue(connection)
    yield from _deliveries(connection, [each.name for each in settings.destination])
    yield from _processes(processes.seen(connection))


def _queue(connection: Connection) -> Iterator[Sample]:
    queued = waiting.grouped(waiting.queued(connection), lambda e: (e.model, _named(e.priority)))
    for labels, (jobs, oldest) in queued.items():
        yield Sample(f.QUEUED, labels, jobs)
        yield Sample(f.OLDEST, labels, oldest)
    for gauge, state in ((f.RUNNING, JobState.RUNNING), (f.DEAD, JobState.DEAD)):
        for model, count in gauges.jobs(connection, state).items():
            yield Sample(gauge, (model,), count)
    for held in holds.held(connection):
        yield Sample(f.PAUSED, (held.name,), 1)


def _named(priority: int) -> str:
    return next((name for least, name in _PRIORITIES if priority >= least), _PRIORITIES[-1][1])


def _deliveries(connection: Connection, known: Sequence[str]) -> Iterator[Sample]:
    none = dict.fromkeys(((name, state) for name in known for state in gauges.UNSETTLED), 0)
    for (destination, state), count in (none | gauges.deliveries(connection)).items():
        yield Sample(f.DELIVERIES, (destination, str(state)), count)
    away = gauges.away(connection)
    for name in known:
        yield Sample(f.REACHABLE, (name,), name not in away)


def _processes(seen: Sequence[Seen]) -> Iterator[Sample]:
    running = [each for each in seen if not each.silent]
    roles = Counter(each.role for each in running)
    for role in ROLES:
        yield Sample(f.ROLES, (role,), roles[role])
    for labels, count in Counter((p.role, p.host, p.version) for p in running).items():
        yield Sample(f.PROCESSES, labels, count)
    ended = Counter((p.role, p.host) for p in seen if p.silent)
    for place in {(p.role, p.host) for p in seen}:
        yield Sample(f.SILENT, place, ended[place])
    for models, count in Counter(_models(running)).items():
        yield Sample(f.WORKERS, models, count)
    yield from _hosts(running)


def _models(running: Sequence[Seen]) -> Iterator[tuple[str, str, str, str]]:
    for process in running:
        for model in process.details.get("models", ()):
            yield model["name"], model["version"], model["provider"], process.host


def _hosts(running: Sequence[Seen]) -> Iterator[Sample]:
    """Clocks and GPUs, once for each host, whichever of its processes tells of them."""
    offsets = {p.host: p.details["clock_offset"] for p in running if "clock_offset" in p.details}
    for host, offset in offsets.items():
        yield Sample(f.CLOCK, (host,), offset)
    for host, gpus in by_host(running).items():
        yield Sample(f.GPU_PRESENT, (host,), bool(gpus))
        for number, gpu in enumerate(gpus):
            labels = (host, str(number))
            yield Sample(f.GPU_USED, labels, gpu["memory_used"])
            yield Sample(f.GPU_TOTAL, labels, gpu["memory_total"])
            yield Sample(f.GPU_USE, labels, gpu["utilization"])


def _certificates(settings: Settings) -> Iterator[Sample]:
    """By what they are for: paths are nobody's business."""
    for of, files in certificates.by_use(settings).items():
        for kind, path in (("certificate", files.certificate), ("ca", files.ca)):
            if not path:
                continue
            try:
                end = certificates.end(path)
            except ConfigError:
                continue  # it cannot be read, as 'wetread doctor' says
            yield Sample(f.CERTIFICATE, (of, kind), end.timestamp())
