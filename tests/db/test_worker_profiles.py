"""Each destination gets what its profile says, and is told what was not processed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage, ComprehensiveSRStorage
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError

from db import dispatch, jobs, outbox
from db.engine import Database
from db.outbox import Parcel
from db.retention import Rule, take_out
from db.retry import RetryPolicy
from db.schema import Job
from inference.addressing import Profile
from sr.identity import Kind
from sr.style import Style
from tests.dicomfiles import PATIENT, STUDY, image
from tests.validators import concept, predecessors, walk
from tests.worknode import Node, named, read_all, report_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ENGLISH = Profile(destination="pacs")
JAPANESE = Profile(destination="ward", style=Style(language="ja"))
TOLD = Profile(destination="pacs", notices=True)
DARK = np.full((40, 32), 20, np.uint16)  # normal for the tiny model; the usual image is not
POLICY = RetryPolicy(attempts=2, first_seconds=0.0, longest_seconds=0.0)


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def parcels(node: Node, destination: str) -> list[Parcel]:
    with node.database.write() as connection:
        return outbox.claim(connection, destination, "courier", 30, 100, POLICY)


def deliver(node: Node, destination: str) -> list[Parcel]:
    """Deliver everything, in its first form."""
    sent = parcels(node, destination)
    with node.database.write() as connection:
        for each in sent:
            outbox.sent(connection, each, each.alternatives[0].result_id)
    return sent


def addressed(job: dict[str, Any]) -> Counter[tuple[str, str]]:
    return Counter((each["destination"], each["kind"]) for each in job["deliveries"])


def texts(dataset: Dataset) -> list[str]:
    return [item.TextValue for item in walk(dataset) if "TextValue" in item]


def test_destinations_of_two_languages_get_objects_of_their_own(node: Node) -> None:
    node.receive(image())
    read_all(node.worker(profiles=(ENGLISH, JAPANESE)))
    (job,) = node.jobs()
    uids = [each["sop_instance_uid"] for each in job["results"]]
    assert len(set(uids)) == len(uids) == 10
    sent = {name: deliver(node, name) for name in ("pacs", "ward")}
    for name, language in (("pacs", "en-US"), ("ward", "ja-JP")):
        text = next(each for each in sent[name] if each.kind == "text").alternatives[0]
        report = next(
            made for made in node.results(job) if made.SOPInstanceUID == text.sop_instance_uid
        )
        (stated,) = named(report, "Language of Content Item and Descendants")
        assert stated.ConceptCodeSequence[0].CodeValue == language
        assert any("診断には使用しない" in each for each in texts(report)) == (name == "ward")


def test_a_destination_gets_the_kinds_it_asked_for(node: Node) -> None:
    node.receive(image())
    report = Profile(
        destination="archive",
        kinds=(Kind.REPORT, Kind.KEY_IMAGES),
        report_classes=(ComprehensiveSRStorage, BasicTextSRStorage),
    )
    read_all(node.worker(profiles=(ENGLISH, report)))
    (job,) = node.jobs()
    assert addressed(job) == {
        ("pacs", "sr"): 1,
        ("pacs", "text"): 1,
        ("pacs", "sc"): 1,
        ("archive", "sr"): 1,
        ("archive", "kos"): 1,
    }
    forms = {each.kind: each.alternatives for each in parcels(node, "archive")}
    assert [each.sop_class_uid for each in forms["sr"]] == [
        ComprehensiveSRStorage,
        BasicTextSRStorage,
    ]
    (text,) = next(each for each in parcels(node, "pacs") if each.kind == "text").alternatives
    assert text.sop_instance_uid == forms["sr"][1].sop_instance_uid  # one object, recorded once


def test_a_negative_goes_only_where_negatives_go_and_the_job_says_so(node: Node) -> None:
    node.receive(image(DARK))
    findings = Profile(destination="er", negatives=False)
    read_all(node.worker(profiles=(ENGLISH, findings)))
    (job,) = node.jobs()
    assert {destination for destination, _ in addressed(job)} == {"pacs"}
    assert (job["state"], job["reason"]) == ("done", "negative, not sent to er")


def test_a_study_that_grew_gets_reports_that_name_their_own_predecessor(node: Node) -> None:
    worker = node.worker(profiles=(ENGLISH, JAPANESE))
    node.receive(image(number=1))
    read_all(worker)
    first = {name: deliver(node, name) for name in ("pacs", "ward")}
    node.receive(image(number=2))
    read_all(worker)
    job = node.jobs()[1]
    made = {str(each.SOPInstanceUID): each for each in node.results(job)}
    for name in ("pacs", "ward"):
        before = {each.alternatives[0].sop_instance_uid for each in first[name]}
        for parcel in parcels(node, name):
            if parcel.kind == "sc":
                continue
            report = made[parcel.alternatives[0].sop_instance_uid]
            replaced = set(predecessors(report))
            assert replaced < before
            assert len(replaced) == 2


def test_a_late_image_of_a_purged_study_is_read_alone_and_says_so(node: Node) -> None:
    """Its report does not hold what the first one did, so it must not replace it."""
    node.receive(image(number=1), image(number=2))
    worker = node.worker(profiles=(ENGLISH,))
    read_all(worker)
    deliver(node, "pacs")
    taken_out = take_out(node.database, node.archive, STUDY, Rule.AGE)
    assert taken_out is not None
    node.receive(image(number=3))
    read_all(worker)
    first, second = node.jobs()
    assert (first["inputs"], second["inputs"]) == (
        [f"{STUDY}.1.1", f"{STUDY}.1.2"],
        [f"{STUDY}.1.3"],
    )
    report = report_of(node, second)
    assert "PredecessorDocumentsSequence" not in report
    assert any("2 archived files had been deleted before" in each for each in texts(report))


def test_an_overlay_goes_once_to_each_destination_from_whatever_job(node: Node) -> None:
    node.receive(image(DARK, number=1))  # the second destination does not get it yet
    profiles = (ENGLISH, Profile(destination="er", negatives=False))
    worker = node.worker(profiles=profiles)
    read_all(worker)
    node.receive(image(number=2))
    read_all(worker)
    overlays = [
        (each["destination"], each["number"])
        for job in node.jobs()
        for each in job["deliveries"]
        if each["kind"] == "sc"
    ]
    assert sorted(overlays) == [("er", 1), ("er", 2), ("pacs", 1), ("pacs", 2)]


# -- what was not assessed --


def test_the_report_tells_what_of_the_study_was_not_assessed(node: Node) -> None:
    node.receive(image(number=1), image(number=2, ViewPosition="LL"))
    node.receive(image(number=3, ViewPosition="LL"))
    read_all(node.worker())
    report = report_of(node, node.jobs()[0])
    told = [each for each in texts(report) if "view LL is not PA or AP" in each]
    assert len(told) == 1
    assert "2" in told[0]


def test_an_image_that_cannot_be_decoded_does_not_keep_the_others_from_being_read(
    node: Node,
) -> None:
    broken = image(number=2)
    broken.PixelData = broken.PixelData[:100]
    node.receive(image(number=1), broken)
    read_all(node.worker())
    (job,) = node.jobs()
    assert (job["state"], len(job["inputs"])) == ("done", 2)
    report = report_of(node, job)
    assert any("pixels cannot be decoded" in each for each in texts(report))
    assert [each["kind"] for each in job["results"]].count("sc") == 1


def test_images_that_can_all_not_be_decoded_are_dead_with_the_reason(node: Node) -> None:
    for number in (1, 2):
        broken = image(number=number)
        broken.PixelData = broken.PixelData[:100]
        node.receive(broken)
    read_all(node.worker())
    (job,) = node.jobs()
    assert job["state"] == "dead"
    assert job["reason"].startswith("pixels cannot be decoded")


# -- not processed, because --


def notice(node: Node, job: dict[str, Any]) -> Dataset:
    (found,) = (
        made
        for row, made in zip(job["results"], node.results(job), strict=True)
        if row["kind"] == "notice"
    )
    return found


def test_a_study_that_no_model_reads_sends_a_notice_where_one_is_wanted(node: Node) -> None:
    node.receive(image(ViewPosition="LL"))
    read_all(node.worker(profiles=(TOLD, JAPANESE)))
    (job,) = node.jobs()
    assert job["state"] == "skipped"
    assert addressed(job) == {("pacs", "notice"): 1}
    (parcel,) = deliver(node, "pacs")
    made = notice(node, job)
    assert parcel.alternatives[0].sop_instance_uid == made.SOPInstanceUID
    assert made.SOPClassUID == BasicTextSRStorage
    assert (made.PatientName, made.StudyInstanceUID) == (PATIENT, STUDY)
    told = [item.TextValue for item in walk(made) if concept(item) == "121071"]
    assert len(told) == 1
    assert "view LL is not PA or AP" in told[0]

    # The same study again: nothing new.
    node.receive(image(ViewPosition="LL"))
    read_all(node.worker(profiles=(TOLD,)))
    assert parcels(node, "pacs") == []


def test_without_the_setting_nothing_is_sent_of_what_was_not_read(node: Node) -> None:
    node.receive(image(ViewPosition="LL"))
    read_all(node.worker())
    assert node.jobs()[0]["deliveries"] == []


def test_a_job_that_died_sends_a_notice(node: Node) -> None:
    broken = image()
    broken.PixelData = broken.PixelData[:100]
    node.receive(broken)
    read_all(node.worker(profiles=(TOLD,)))
    (job,) = node.jobs()
    assert job["state"] == "dead"
    assert any("pixels cannot be decoded" in each for each in texts(notice(node, job)))

    # Queued again by hand, and dead again: it was said already.
    with node.database.write() as connection:
        jobs.retry(connection, job["id"])
    read_all(node.worker(profiles=(TOLD,)))
    assert addressed(node.jobs()[0]) == {("pacs", "notice"): 1}


def _claim_in_vain(node: Node) -> None:
    """Use up a job's attempts, as workers do that die of it."""
    for _ in range(POLICY.attempts):
        with node.database.write() as connection:
            dispatch.reclaim(connection, POLICY)
            assert dispatch.claim(connection, "gone", [jobs.ModelRef("tiny", "1.0")], -1.0)


def test_a_job_whose_worker_never_came_back_sends_a_notice(node: Node) -> None:
    node.receive(image())
    worker = node.worker(profiles=(TOLD,))
    worker.route_due()
    _claim_in_vain(node)
    assert worker.work_once() == 0
    (job,) = node.jobs()
    assert job["state"] == "dead"
    assert any("the worker stopped" in each for each in texts(notice(node, job)))


@pytest.mark.parametrize("came_back", [True, False])
def test_a_job_is_not_dead_before_its_notice_is_posted(node: Node, came_back: bool) -> None:
    broken = image()
    broken.PixelData = broken.PixelData[:100]
    node.receive(broken)
    worker = node.worker(profiles=(TOLD,))
    worker.route_due()
    if not came_back:
        _claim_in_vain(node)
    with node.database.write() as connection:
        connection.execute(
            text(
                "create trigger away before insert on delivery "
                "begin select raise(abort, 'the disk is full'); end"
            )
        )
    with pytest.raises(SQLAlchemyError, match="the disk is full"):
        worker.work_once()
    assert node.jobs()[0]["state"] == "running"
    with node.database.write() as connection:
        connection.execute(text("drop trigger away"))
        connection.execute(update(Job).values(lease_until=0.0))
    read_all(node.worker(profiles=(TOLD,)))
    (job,) = node.jobs()
    assert job["state"] == "dead"
    assert addressed(job) == {("pacs", "notice"): 1}


def test_a_study_without_a_readable_file_is_told_in_the_queue_alone(node: Node) -> None:
    node.receive_file(image(), b"garbage")
    read_all(node.worker(profiles=(TOLD,)))
    (job,) = node.jobs()
    assert (job["state"], job["deliveries"]) == ("skipped", [])


def test_a_notice_that_is_wanted_in_two_languages_goes_in_both(node: Node) -> None:
    node.receive(image(ViewPosition="LL"))
    japanese = Profile(destination="ward", style=Style(language="ja"), notices=True)
    read_all(node.worker(profiles=(TOLD, japanese)))
    (job,) = node.jobs()
    assert addressed(job) == {("pacs", "notice"): 1, ("ward", "notice"): 1}
    assert len({each["sop_instance_uid"] for each in job["results"]}) == 2
