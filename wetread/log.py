"""Logs on standard error and in a file: events with identifiers as fields, no patient's data.

Roles also append to one file that all of them share, as a JSON object per line, which
``wetread.log_reading`` reads. It holds some weeks of an ordinary node: full files are kept up to
``KEPT``.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from audit.file import FileSink
from wetread.quiet import silence_libraries
from wetread.sections import Log

FULL_BYTES = 16_000_000
KEPT = 8
"""How large a file becomes, and how many full ones stay."""


def configure(settings: Log, role: str, *, lasting: bool = True, file: Path | None = None) -> None:
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
    file
        Where to append each event as well; None for nowhere. One that cannot be written is told
        of on standard error, and the role goes on.
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
            *([_appending(sink)] if (sink := _sink(file)) else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=lasting,
    )
    silence_libraries()
    if file is not None and sink is None:
        structlog.get_logger(__name__).error("log.file_unusable", file=str(file))


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


def _sink(file: Path | None) -> FileSink | None:
    if file is not None:
        with suppress(OSError):
            return FileSink(file, FULL_BYTES, KEPT)
    return None


def _appending(sink: FileSink) -> structlog.types.Processor:
    about = {"host": socket.gethostname(), "pid": os.getpid()}

    def append(
        _logger: object, _method: str, event: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        line = json.dumps(dict(event) | about, default=str, ensure_ascii=False)
        with suppress(OSError):  # the disk may be full, and standard error has it as well
            sink.write(line, datetime.now(UTC))
        return event

    return append
