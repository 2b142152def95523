"""A later reading replaces what earlier ones have not sent, and names what may have arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from db import outbox, stats
from db.engine import Database
from db.outbox import Parcel
from db.retention import Rule, candidates, take_out
from db.retry import RetryPolicy
from inference.addressing import Profile
from tests.dicomfiles import STUDY, image
from tests.validators import predecessors
from tests.worknode import Meanwhile, Node, read_all

RETRY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)
LIMIT = 100


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def claim(node: Node, limit: int = LIMIT) -> list[Parcel]:
    with node.database.write() as connection:
        return outbox.claim(connection, "pacs", "courier", 30, limit, RETRY)


def send(node: Node, parcels: Iterable[Parcel]) -> list[str]:
    """Have them taken in their first form; the SOP Instance UIDs."""
    uids = []
    with node.database.write() as connection:
        for each in parcels:
            outbox.sent(connection, each, each.alternatives[0].result_id)
            uids.append(each.alternatives[0].sop_instance_uid)
    return uids


def states(job: dict[str, object]) -> dict[tuple[str, int], str]:
    deliveries = job["deliveries"]
    assert isinstance(deliveries, list)
    return {(each["kind"], each["number"]): each["state"] for each in deliveries}


def named(node: Node, job: dict[str, object]) -> set[str]:
    """SOP Instance UIDs that the reports of a job name as their predecessors."""
    reports = [each for each in node.results(job) if "ContentSequence" in each]
    sets = [set(predecessors(each)) for each in reports]
    assert all(each == sets[0] for each in sets)
    return sets[0]


def of_reports(job: dict[str, object]) -> set[str]:
    results = job["results"]
    assert isinstance(results, list)
    return {each["sop_instance_uid"] for each in results if each["kind"] in ("sr", "text")}


def test_what_was_not_sent_is_withdrawn_but_for_what_the_later_reading_has_too(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    node.receive(image(number=2))
    read_all(worker)
    first, second = node.jobs()
    assert states(first) == {
        ("sr", 1): "superseded",
        ("text", 1): "superseded",
        ("sc", 1): "pending",  # the second reading has no other overlay of this image
    }
    reasons = {each["reason"] for each in first["deliveries"] if each["state"] == "superseded"}
    assert reasons == {f"superseded by job {second['id']}, which read further images of this study"}
    assert set(states(second).values()) == {"pending"}
    assert named(node, second) == set()
    assert first["undelivered"] == 1
    sent = send(node, claim(node))
    assert len(set(sent)) == len(sent) == 4
    assert claim(node) == []
    with node.database.write() as connection:
        assert outbox.retry(connection, first["id"]) == 0


def test_what_a_courier_is_sending_is_named_and_may_still_arrive(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    sending = claim(node)
    node.receive(image(number=2))
    read_all(worker)
    first, second = node.jobs()
    assert set(states(first).values()) == {"sending"}
    assert named(node, second) == of_reports(first)  # in whatever form it arrives
    send(node, sending)
    assert set(states(node.jobs()[0]).values()) == {"sent"}


def test_what_was_sent_in_vain_is_withdrawn_and_named(node: Node) -> None:
    """The answer may have been lost, not the report."""
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    (report,) = (each for each in claim(node) if each.kind == "sr")
    with node.database.write() as connection:
        outbox.fail(connection, report, "no answer", RETRY)
    node.receive(image(number=2))
    read_all(worker)
    first, second = node.jobs()
    assert states(first)["sr", 1] == "superseded"
    assert named(node, second) == of_reports(first)


def test_a_report_that_goes_out_while_its_successor_is_built_is_named(node: Node) -> None:
    node.receive(image(number=1))
    read_all(node.worker())
    node.receive(image(number=2))
    sent: list[str] = []
    archive = Meanwhile(node.archive.root, lambda: sent.extend(send(node, claim(node))))
    read_all(node.worker("w2", archive=archive))
    first, second = node.jobs()
    assert set(states(first).values()) == {"sent"}
    assert named(node, second) == of_reports(first) & set(sent)
    assert len(named(node, second)) == 2
    assert (second["state"], second["attempts"]) == ("done", 1)


def test_a_report_that_comes_back_while_its_successor_is_built_is_not_named(node: Node) -> None:
    """A courier had it, but the destination could not be reached."""
    node.receive(image(number=1))
    read_all(node.worker())
    parcels = claim(node)
    node.receive(image(number=2))

    def give_back() -> None:
        with node.database.write() as connection:
            for each in parcels:
                outbox.give_back(connection, each)

    read_all(node.worker("w2", archive=Meanwhile(node.archive.root, give_back)))
    first, second = node.jobs()
    assert states(first)["sr", 1] == "superseded"
    assert named(node, second) == set()
    assert (second["state"], second["attempts"]) == ("done", 1)


def test_a_report_that_a_courier_is_taking_as_its_successor_is_recorded_is_named(
    node: Node,
) -> None:
    node.receive(image(number=1))
    read_all(node.worker())
    node.receive(image(number=2))
    reached, taken = threading.Event(), threading.Event()

    def wait_for_the_courier() -> None:
        reached.set()
        taken.wait(30)

    later = node.worker("w2", archive=Meanwhile(node.archive.root, wait_for_the_courier))
    reading = threading.Thread(target=read_all, args=(later,))
    reading.start()
    assert reached.wait(30)
    with node.database.write() as connection:
        parcels = outbox.claim(connection, "pacs", "courier", 30, LIMIT, RETRY)
        taken.set()
        time.sleep(0.3)  # the results are written meanwhile, and wait to be recorded
    reading.join(30)
    first, second = node.jobs()
    assert {each.job_id for each in parcels} == {first["id"]}
    assert set(states(first).values()) == {"sending"}
    assert named(node, second) == of_reports(first)
    assert (second["state"], second["attempts"]) == ("done", 1)


@pytest.mark.parametrize("trouble", ["held", "dead", "refused"])
def test_what_stands_at_the_wayside_is_withdrawn(node: Node, trouble: str) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    for parcel in claim(node):
        with node.database.write() as connection:
            if parcel.kind != "sr":
                outbox.give_back(connection, parcel)
            elif trouble == "held":
                outbox.hold(connection, parcel, "another patient", RETRY)
            elif trouble == "refused":
                outbox.refused(connection, parcel, "no form is accepted")
            else:
                outbox.fail(connection, parcel, "no", RetryPolicy(**vars(RETRY) | {"attempts": 1}))
    assert states(node.jobs()[0])["sr", 1] == trouble
    node.receive(image(number=2))
    read_all(worker)
    assert states(node.jobs()[0])["sr", 1] == "superseded"


def test_a_third_reading_names_the_first_where_the_second_never_went(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    send(node, claim(node))
    for number in (2, 3):
        node.receive(image(number=number))
        read_all(worker)
    first, second, third = node.jobs()
    assert states(second)["sr", 1] == "superseded"
    arrived = {each["sop_instance_uid"] for each in first["deliveries"] if each["kind"] != "sc"}
    assert named(node, third) == arrived


def test_what_was_read_of_images_that_are_gone_is_not_replaced(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    parcels = claim(node)
    send(node, (each for each in parcels if each.kind != "sr"))
    with node.database.write() as connection:
        (report,) = (each for each in parcels if each.kind == "sr")
        outbox.refused(connection, report, "no form is accepted")
    assert take_out(node.database, node.archive, STUDY, Rule.AGE) is not None
    node.receive(image(number=2))
    read_all(worker)
    first, second = node.jobs()
    assert states(first)["sr", 1] == "refused"
    assert named(node, second) == set()


def test_another_model_and_another_study_are_left_alone(node: Node) -> None:
    worker = node.worker(profiles=(Profile(destination="pacs"),))
    other = f"{STUDY}.9"
    node.receive(image(study=other), image(number=1))
    read_all(worker)
    node.receive(image(number=2))
    read_all(worker)
    assert set(states(node.jobs(other)[0]).values()) == {"pending"}


def test_a_study_whose_first_results_were_superseded_counts_as_delivered(node: Node) -> None:
    worker = node.worker()
    for number in (1, 2):
        node.receive(image(number=number))
        read_all(worker)
    assert list(candidates(node.database, Rule.DELIVERED, -1.0)) == []
    send(node, claim(node))
    (candidate,) = candidates(node.database, Rule.DELIVERED, -1.0)
    assert candidate.study_uid == STUDY
    with node.database.read() as connection:
        assert {each["undelivered"] for each in stats.jobs(connection)} == {0}
