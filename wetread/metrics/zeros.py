"""What is known to be countable: shown as 0 before it first happens.

To Prometheus a counter that appears with 1 has not increased: the first dead job of a model would
raise no alarm.
"""

from __future__ import annotations

from itertools import product

from sqlalchemy import Connection

from db import meters, processes
from db.meters import Tally
from db.schema import JOB_MOVES, JobState
from sr.findings import Normality
from wetread.config import Settings

_ENDED = [str(state) for state in JOB_MOVES if state not in (JobState.QUEUED, JobState.RUNNING)]
_ANSWERS = [*(each.value for each in Normality), "none"]


def known(connection: Connection, settings: Settings) -> dict[Tally, list[tuple[str, ...]]]:
    """Labels of what may be counted: of models that a worker has, and of destinations."""
    seen = processes.seen(connection)
    models = sorted({each["name"] for p in seen for each in p.details.get("models", ())})
    destinations: list[tuple[str, ...]] = [(each.name,) for each in settings.destination]
    return {
        meters.JOBS: list(product(models, _ENDED)),
        meters.ANSWERS: list(product(models, _ANSWERS)),
        meters.SENT: destinations,
        meters.COMMITTED: destinations,
    }
