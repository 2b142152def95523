"""Hosts whose clocks differ share one PostgreSQL: its clock counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import select

from db import dispatch, jobs, outbox, studies
from db.engine import Database, now
from db.schema import Job, JobState
from tests.db.test_jobs import RETRY, arrive, claim, claimed, instance, queue, state
from tests.db.test_outbox import result
from tests.mail import letters

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

HOUR = 3600.0
OnHost = Callable[[float], AbstractContextManager[None]]


@pytest.fixture
def on_host(monkeypatch: pytest.MonkeyPatch) -> OnHost:
    """What is done within is done by a host whose clock is so many seconds ahead."""
    right = time.time

    @contextmanager
    def on_host(ahead: float) -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda: right() + ahead)
            yield

    return on_host


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_lease_holds_as_long_as_it_should(
    database: Database, on_host: OnHost, ahead: float
) -> None:
    with on_host(ahead):
        job_id = queue(database)
        work = claimed(database)
    with on_host(-ahead):
        assert claim(database, "another") is None
        with database.read() as connection:
            assert dispatch.stranded(connection, RETRY) == []
    assert state(database, job_id) is JobState.RUNNING
    with on_host(ahead), database.write() as connection:
        jobs.renew(connection, work, 30.0)
        left = connection.execute(select(Job.lease_until)).scalar_one() or 0.0
        assert 0 < left - now(connection) <= 30.0
        jobs.finish(connection, work)
    with database.read() as connection:
        moments = select(Job.created_at, Job.started_at, Job.finished_at).where(Job.id == job_id)
        times = [each or 0.0 for each in connection.execute(moments).one()]
        assert all(times)
        assert times == sorted(times)
        assert times[-1] <= now(connection)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_lease_that_ran_out_is_over_for_all(
    database: Database, on_host: OnHost, ahead: float
) -> None:
    with on_host(ahead):
        job_id = queue(database)
        claimed(database, lease=0.0)
    assert claimed(database, "another").job_id == job_id


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_study_is_due_and_a_result_goes_out_at_once(
    database: Database, on_host: OnHost, ahead: float
) -> None:
    with on_host(ahead):
        arrive(database, instance(), quiet=0.0)
    with database.read() as connection:
        assert [each.study_uid for each in studies.due(connection)] == ["1.2.3"]
    with on_host(ahead):
        queue(database)
        work, report = claimed(database), result("sr", 0)
        with database.write() as connection:
            jobs.finish(connection, work)
            outbox.post(connection, work.job_id, [report], letters("pacs", [report]))
    with database.write() as connection:
        assert outbox.claimable(connection, "pacs")
        assert len(outbox.claim(connection, "pacs", "courier", 30.0, 5, RETRY)) == 1
