"""Logs on standard error: events with identifiers as fields, never a patient's data."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import Counter

import structlog

from wetread.sections import Log


def configure(settings: Log, role: str, *, lasting: bool = True) -> None:
    """Set up logging of this process.

    Parameters
    ----------
    settings
        Level and form.
    role
        What this process does; stands in every line.
    lasting
        Whether it is a role, which runs for months, and not a command, whose caller may want
        standard error elsewhere for the next.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_role(role),
            _counting,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=lasting,
    )
    silence_libraries()


def silence_libraries() -> None:
    """Keep libraries quiet: their warnings quote what peers say, which may be a patient's name."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom", "dicomweb_client", "retrying", "urllib3", "uvicorn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def counted() -> dict[str, int]:
    """How often each event of level warning or error was logged by this process."""
    totals: Counter[str] = Counter()
    for (_, event), count in counted_by_level().items():
        totals[event] += count
    return dict(totals)


def counted_by_level() -> dict[tuple[str, str], int]:
    """The same by level and event."""
    return dict(_counts)


_counts: Counter[tuple[str, str]] = Counter()


def _counting(
    _logger: object, method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    if method in ("warning", "error", "critical"):
        _counts[method, str(event.get("event"))] += 1
    return event


def _with_role(role: str) -> structlog.types.Processor:
    def add(
        _logger: object, _method: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        event["role"] = role
        return event

    return add
