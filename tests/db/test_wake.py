"""Whoever waits for work is woken by those who make it, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from db import holds, jobs, outbox, studies, wake
from db.engine import Database
from db.wake import Topic, Waiter
from tests.db.test_jobs import RETRY, arrive, claimed, instance, queue
from tests.db.test_outbox import result
from tests.mail import letters

LONG = 50.0  # so long waits only who is not woken
on_a_server = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@contextmanager
def waiting(database: Database, topic: Topic) -> Iterator[Callable[[], bool]]:
    """Somebody waits; what is given tells whether he has been woken."""
    stop, listening, woken = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        with Waiter(database, topic) as waiter:
            waiter.wait(LONG, stop)
            listening.set()
            waiter.wait(LONG, stop)
            if not stop.is_set():
                woken.set()

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(wait)
        try:
            assert listening.wait(LONG), "the first wait must return at once"
            yield lambda: woken.wait(10)
        finally:
            stop.set()
            done.result()


def _enqueue(connection: Connection) -> None:
    assert jobs.enqueue(connection, "1.2.4", jobs.ModelRef("cxr-covid", "2"), [instance()])


def _retry(connection: Connection) -> None:
    jobs.retry(connection, 1)


def _resume(connection: Connection) -> None:
    assert holds.resume(connection, "cxr-covid")


def _release(connection: Connection) -> None:
    studies.release(connection, ["1.2.3"], 0.0)


@pytest.mark.parametrize("act", [_enqueue, _retry, _resume, _release])
def test_a_worker_is_woken(database: Database, act: Callable[[Connection], None]) -> None:
    queue(database)
    arrive(database, instance(study="1.2.4"))
    with database.write() as connection:
        jobs.cancel(connection, 1)
        holds.pause(connection, "cxr-covid")
    with waiting(database, Topic.JOBS) as woken:
        with database.write() as connection:
            act(connection)
        assert woken()


def test_a_courier_is_woken_by_what_is_posted_and_by_what_is_revived(database: Database) -> None:
    queue(database)
    work, report = claimed(database), result("sr", 0)
    with waiting(database, Topic.DELIVERIES) as woken:
        with database.write() as connection:
            jobs.finish(connection, work)
            outbox.post(connection, work.job_id, [report], letters("pacs", [report]))
        assert woken()
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "c1", 30.0, 5, RETRY)
        outbox.refused(connection, parcel, "no")
    with waiting(database, Topic.DELIVERIES) as woken:
        with database.write() as connection:
            assert outbox.retry(connection, work.job_id) == 1
        assert woken()


def test_what_came_while_one_was_at_work_wakes_the_next_wait(database: Database) -> None:
    with Waiter(database, Topic.JOBS) as waiter:
        waiter.wait(LONG, threading.Event())
        queue(database)
        waiter.wait(LONG, threading.Event())  # the suite's time limit would end it


@on_a_server
def test_a_lost_connection_ends_the_wait_and_another_is_made(database: Database) -> None:
    with Waiter(database, Topic.JOBS) as waiter:
        waiter.wait(LONG, threading.Event())
        _end_connections(database)
        waiter.wait(0.01, threading.Event())
        waiter.wait(LONG, threading.Event())  # at once: nobody knows what was missed
        queue(database)
        waiter.wait(LONG, threading.Event())


def test_who_waits_can_be_stopped(database: Database) -> None:
    with waiting(database, Topic.JOBS):
        pass


def test_without_a_database_the_time_is_waited_out() -> None:
    elsewhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with Waiter(elsewhere, Topic.JOBS) as waiter:
        waiter.wait(0.01, threading.Event())
    elsewhere.close()


@on_a_server
def test_nobody_is_woken_by_what_was_rolled_back_or_is_for_others(database: Database) -> None:
    class Undone(Exception):
        pass

    stop = threading.Event()
    with Waiter(database, Topic.JOBS) as waiter:
        waiter.wait(LONG, stop)
        with pytest.raises(Undone), database.write() as connection:
            wake.notify(connection, Topic.JOBS)
            raise Undone
        with database.write() as connection:
            wake.notify(connection, Topic.DELIVERIES)
        told = threading.Timer(0.5, stop.set)
        told.start()
        waiter.wait(LONG, stop)
        assert stop.is_set()
        told.join()


def _end_connections(database: Database) -> None:
    """Cut every connection but this one, as a server that is started anew does."""
    end = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
    with database.write() as connection:
        connection.execute(text(end + "and datname = current_database()"))
