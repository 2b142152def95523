"""Group commit: one transaction for every instance that waits for one.

A commit costs an fsync, whatever it holds. While one runs, the instances of all associations that
come meanwhile pile up; the next commit takes them all. There is no thread of its own: the first
that finds nobody at work commits for all that wait, and passes the task on to one that came later.
What a crash leaves behind is argued in docs/adr/0001-durable-receive.md.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import OperationalError

from db import studies
from db.archive import Archive
from db.engine import Database
from db.studies import Arriving

_LARGEST_BATCH = 256  # so that the last of many is not answered late


@dataclass(eq=False)
class _Waiting:
    """An instance on its way into the table, and the thread that waits for it."""

    arriving: Arriving
    partial: Path
    turn: threading.Event | None  # answered, or to commit next; None for who need not wait
    new: bool | None = None
    error: Exception | None = None

    @property
    def answered(self) -> bool:
        return self.new is not None or self.error is not None

    def wake(self) -> None:
        if self.turn is not None:
            self.turn.set()


class Committer:
    """Records instances whose bytes are on disk; safe to share between threads.

    Parameters
    ----------
    database, archive
        Where rows and names go.
    """

    def __init__(self, database: Database, archive: Archive) -> None:
        self._writer = database.writer()
        self._archive = archive
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._at_work = False

    def commit(self, arriving: Arriving, partial: Path) -> bool:
        """Record an instance and give its file its name; wait until both are on disk.

        Parameters
        ----------
        arriving
            The instance; ``path`` is the name that its file gets.
        partial
            The file's temporary name; its bytes are on disk.

        Returns
        -------
        bool
            Whether it is recorded now. False if its UID was known: nothing has changed.

        Raises
        ------
        OSError, SQLAlchemyError
            The disk or the database refuses; the instance is not recorded, as far as is known.
        """
        with self._lock:
            turn = threading.Event() if self._at_work else None
            mine = _Waiting(arriving, partial, turn)
            self._queue.append(mine)
            self._at_work = True
        if turn is not None:
            turn.wait()
        if not mine.answered:
            self._commit_waiting()
        if mine.error is not None:
            raise mine.error
        return bool(mine.new)

    def _commit_waiting(self) -> None:
        with self._lock:
            batch, self._queue = self._queue[:_LARGEST_BATCH], self._queue[_LARGEST_BATCH:]
        try:
            self._commit_batch(batch)
        finally:
            for each in batch:
                each.wake()
            with self._lock:
                self._at_work = bool(self._queue)
                if self._queue:
                    self._queue[0].wake()

    def _commit_batch(self, batch: Sequence[_Waiting]) -> None:
        """Answer every instance of a batch."""
        try:
            new = self._record(batch)
        except Exception as error:  # noqa: BLE001 - raised again in the threads that wait
            if len(batch) > 1 and not isinstance(error, OperationalError):
                # One that cannot be recorded must not take the others with it. Where the database
                # itself is away or busy, trying each would only make all wait longer.
                for each in batch:
                    self._commit_batch([each])
                return
            for each in batch:
                each.error = error
            return
        for each in batch:
            each.new = each in new

    def _record(self, batch: Sequence[_Waiting]) -> set[_Waiting]:
        """Record a batch in one transaction; those that were not known."""
        first = {each.arriving.instance.sop_instance_uid: each for each in reversed(batch)}
        certain = True
        try:
            with self._writer.transaction() as driver:
                arriving = [each.arriving for each in first.values()]
                new = [first[uid] for uid in studies.record_all(driver, arriving)]
                for each in new:
                    # The uncommitted row keeps everybody else away from this path.
                    self._archive.settle(each.partial, each.arriving.instance.path)
                certain = False  # a commit that fails may have come to pass nevertheless
        except Exception:
            if certain:
                self._unclaim(batch)
            raise
        return set(new)

    def _unclaim(self, batch: Sequence[_Waiting]) -> None:
        """Take the names back of files that are not recorded."""
        for each in batch:
            with suppress(OSError):  # a file without a row does no harm
                self._archive.unclaim(each.partial, each.arriving.instance.path)
