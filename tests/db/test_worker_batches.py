"""A worker that reads several studies together, and decodes the next ones meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text, update

from db.engine import Database
from db.schema import Job
from inference.worker import Worker
from tests.delivering import wait_until
from tests.dicomfiles import STUDY, image
from tests.tinygraph import Fault
from tests.tinymodel import write_package
from tests.worknode import Node, read_all, report_of

DARK = bytes(len(image().PixelData))


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def receive(node: Node, count: int) -> list[str]:
    """Studies of one image, which are due."""
    uids = [f"{STUDY}.{number}" for number in range(1, count + 1)]
    node.receive(*(image(study=each) for each in uids))
    return uids


def states(node: Node, uids: list[str]) -> list[tuple[str, int]]:
    return [(job["state"], job["attempts"]) for each in uids for job in node.jobs(each)]


def set_attempts(node: Node, number: int, uids: list[str]) -> None:
    with node.database.write() as connection:
        which = Job.study_uid.in_(uids)
        connection.execute(update(Job).where(which).values(attempts=number))


def stopped(worker: Worker) -> None:
    """End a worker as SIGTERM does."""
    stop = threading.Event()
    stop.set()
    worker.run(stop)


def test_studies_that_are_read_together_have_their_own_results(node: Node) -> None:
    uids = receive(node, 4)
    worker = node.worker(batch=3)
    worker.route_due()
    assert [worker.work_once() for _ in range(3)] == [3, 1, 0]
    assert states(node, uids) == [("done", 1)] * 4
    for uid in uids:
        (job,) = node.jobs(uid)
        assert report_of(node, job).StudyInstanceUID == uid
        assert {each.StudyInstanceUID for each in node.results(job)} == {uid}


def test_one_that_the_model_fails_on_fails_alone(node: Node) -> None:
    uids = receive(node, 3)
    dark = f"{STUDY}.9"
    node.receive(image(study=dark, PixelData=DARK))
    broken = write_package(node.folder / "broken", fault=Fault.FAILS_ON_BRIGHT)
    worker = node.worker(package=broken, batch=4)
    worker.route_due()
    assert worker.work_once() == 4
    assert states(node, [*uids, dark]) == [("queued", 1)] * 3 + [("done", 1)]


def test_one_that_cannot_be_decoded_fails_alone(node: Node) -> None:
    good, bad = receive(node, 2), f"{STUDY}.9"
    node.receive(image(study=bad, PixelData=b"\0\0"))
    worker = node.worker(batch=4)
    worker.route_due()
    assert worker.work_once() == 3
    assert states(node, [*good, bad]) == [("done", 1), ("done", 1), ("dead", 1)]


def test_the_next_batch_is_opened_ahead_and_given_back_at_the_end(node: Node) -> None:
    uids = receive(node, 4)
    worker = node.worker(batch=2)
    worker.route_due()
    assert worker.work_once() == 2
    wait_until(lambda: states(node, uids)[2:] == [("running", 1)] * 2)
    assert states(node, uids) == [("done", 1)] * 2 + [("running", 1)] * 2
    stopped(worker)
    assert states(node, uids) == [("done", 1)] * 2 + [("queued", 0)] * 2
    read_all(node.worker("w2"))
    assert states(node, uids) == [("done", 1)] * 4


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_who_stops_while_the_database_is_away_leaves_its_lease_to_run_out(node: Node) -> None:
    uids = receive(node, 4)
    worker = node.worker(batch=2)
    worker.route_due()
    assert worker.work_once() == 2
    wait_until(lambda: states(node, uids)[2:] == [("running", 1)] * 2)
    with away(node.database):
        stopped(worker)
    assert states(node, uids)[2:] == [("running", 1)] * 2


@contextmanager
def away(database: Database) -> Iterator[None]:
    """Let nobody into a database of the server."""
    name = database.engine.url.database
    server = create_engine(database.engine.url.set(database="postgres"))
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"alter database {name} allow_connections false"))
        end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = :name"
        connection.execute(text(end), {"name": name})
        yield
        connection.execute(text(f"alter database {name} allow_connections true"))
    server.dispose()


@pytest.mark.parametrize("tried_before", [[3, 4], [1]])
def test_what_was_tried_before_is_with_no_other(node: Node, tried_before: list[int]) -> None:
    """It may be what killed its worker."""
    uids = receive(node, 4)
    worker = node.worker(batch=2)
    worker.route_due()
    set_attempts(node, 1, [f"{STUDY}.{each}" for each in tried_before])
    done = worker.work_once()
    stopped(worker)  # waits for what is opened ahead
    found = states(node, uids)
    if tried_before == [1]:
        assert (done, found) == (1, [("done", 2)] + [("queued", 0)] * 3)
    else:
        assert (done, found) == (2, [("done", 1)] * 2 + [("queued", 1)] * 2)
