"""The gauges of ``/metrics``; what only grows stands in ``db.meters``."""

from __future__ import annotations

from dataclasses import dataclass

from db.meters import HISTOGRAMS, TALLIES

PREFIX = "wetread_"


@dataclass(frozen=True)
class Gauge:
    """Something that is so and so much at this moment; ``meaning`` is one sentence."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()


INFO = Gauge("info", "The version that answers; always 1.", ("version",))
DATABASE_UP = Gauge("database_up", "Whether the database answers; if not, little else is shown.")
SCHEMA = Gauge("schema_info", "Schema revision of the database; always 1.", ("revision",))
COUNTED = Gauge("counted_seconds", "How long ago it is up to when everything is counted.")

QUEUED = Gauge("queued_jobs", "Jobs that wait to be read.", ("model", "priority"))
OLDEST = Gauge("queue_oldest_seconds", "Age of the oldest job that waits.", ("model", "priority"))
RUNNING = Gauge("running_jobs", "Jobs that are being read.", ("model",))
DEAD = Gauge("dead_jobs", "Jobs that were given up.", ("model",))
PAUSED = Gauge("paused_info", "Models whose jobs nobody begins, * for all; always 1.", ("model",))

DELIVERIES = Gauge("deliveries", "Deliveries not settled.", ("destination", "state"))
REACHABLE = Gauge("destination_up", "Whether a destination can be reached.", ("destination",))

ROLES = Gauge("role_processes", "Processes that run, on all hosts.", ("role",))
PROCESSES = Gauge("processes", "Processes that run.", ("role", "host", "version"))
SILENT = Gauge("silent_processes", "Processes that ended without a word, within a day.",
               ("role", "host"))  # fmt: skip
WORKERS = Gauge("model_workers", "Workers that have a model, by the execution provider it runs on.",
                ("model", "version", "provider", "host"))  # fmt: skip
CLOCK = Gauge("clock_offset_seconds", "How far a host's clock is before the database's.", ("host",))
GPU_PRESENT = Gauge("gpu_present", "Whether a worker's host shows an NVIDIA GPU, used or not.",
                    ("host",))  # fmt: skip
GPU_USED = Gauge("gpu_memory_used_bytes", "Memory in use of a worker's GPU.", ("host", "gpu"))
GPU_TOTAL = Gauge("gpu_memory_bytes", "Memory of a worker's GPU.", ("host", "gpu"))
GPU_USE = Gauge("gpu_utilization_ratio", "Share of time that a GPU computes.", ("host", "gpu"))

DISK_FREE = Gauge("disk_free_bytes", "Free space where the data folder lies.")
DISK_MARK = Gauge("disk_mark_bytes", "With less free space images are refused; 0: never.")
CERTIFICATE = Gauge("certificate_expiry_timestamp_seconds",
                    "When the first certificate of a file runs out.", ("of", "file"))  # fmt: skip

GAUGES = (
    INFO, DATABASE_UP, SCHEMA, COUNTED, QUEUED, OLDEST, RUNNING, DEAD, PAUSED, DELIVERIES,
    REACHABLE, ROLES, PROCESSES, SILENT, WORKERS, CLOCK, GPU_PRESENT, GPU_USED, GPU_TOTAL,
    GPU_USE, DISK_FREE, DISK_MARK, CERTIFICATE,
)  # fmt: skip


@dataclass(frozen=True)
class Documented:
    """A metric as docs/monitoring.md lists it."""

    name: str
    labels: tuple[str, ...]
    kind: str
    meaning: str


def documented() -> list[Documented]:
    """All metrics, under the names that Prometheus gives them."""
    gauges = [Documented(PREFIX + g.name, g.labels, "gauge", g.meaning) for g in GAUGES]
    tallies = [
        Documented(f"{PREFIX}{t.name}_total", t.labels, "counter", t.meaning) for t in TALLIES
    ]
    measured = [Documented(PREFIX + h.name, h.labels, "histogram", h.meaning) for h in HISTOGRAMS]
    return [*gauges, *tallies, *measured]
