"""What can go wrong with the job table and the archive.

::

    StoreError              base
    |-- SchemaError         the database is newer than this program
    |-- IllegalMove         a job or delivery is not in a state that allows the move
    |-- NotFound            no such job, study, delivery or model
    |-- LeaseLost           another worker holds the lease now; discard what was made
    |-- Overtaken           a report that is to be replaced was sent meanwhile; name it
    `-- InvalidUID          a peer's string is not a UID and must not become a path
"""

from __future__ import annotations

import traceback
from pathlib import Path


class StoreError(Exception):
    """The job table or the archive cannot do what was asked."""


class SchemaError(StoreError):
    """The database schema does not belong to this version of the program."""


class IllegalMove(StoreError):
    """The state of a job or delivery does not allow the move; the message names both."""


class NotFound(StoreError):
    """No such job, study, delivery or model."""


class LeaseLost(StoreError):
    """The lease ran out and the work belongs to somebody else, or was cancelled."""


class Overtaken(StoreError):
    """An earlier report went out, or came back, after the one that replaces it had been built."""


class InvalidUID(StoreError):
    """Not a UID (PS3.5 section 9.1)."""


def trace(error: BaseException) -> str:
    """Where an error came from, frame by frame, and what caused it; for the administrator.

    Types of exceptions stay and their texts go, for the reason that ``where`` gives.
    """
    lines = []
    for each in _chain(error):
        frames = traceback.extract_tb(each.__traceback__)
        lines += [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        lines.append(type(each).__name__)
    return "\n".join(lines)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and its causes, the first cause first."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.insert(0, following)
        following = following.__cause__ or following.__context__
    return chain


def where(error: BaseException) -> str:
    """Type and place of an unexpected error, for the log.

    Its text stays out: it may quote an element's value, which may be a patient's name.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
    return f"{type(error).__name__} in {place}"
