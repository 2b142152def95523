"""The worker against a real database, archive and model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update

from db import by_hand, disabled, identities, jobs, stats, studies
from db.archive import Archive
from db.engine import Database
from db.schema import Delivery, Job
from inference.addressing import Profile
from inference.errors import ManifestError
from tests.dicomfiles import PATIENT, PATIENT_ID, STUDY, as_file, image
from tests.tinygraph import Fault
from tests.tinymodel import write_package
from tests.worknode import (
    TWICE,
    Meanwhile,
    Node,
    image_groups,
    named,
    percents,
    read_all,
    report_of,
)

# What does not depend on the kind of database is tried on one.
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def test_a_due_study_becomes_a_done_job_with_results_and_deliveries(node: Node) -> None:
    node.receive(image())
    worker = node.worker(profiles=(Profile(destination="pacs"), Profile(destination="archive")))
    assert worker.route_due() == 1
    assert worker.route_due() == 0
    (queued,) = node.jobs()
    assert queued["state"] == "queued"
    assert queued["inputs"] == [f"{STUDY}.1.1"]
    assert worker.work_once() == 1
    assert worker.work_once() == 0
    (job,) = node.jobs()
    assert (job["state"], job["attempts"], job["reason"]) == ("done", 1, None)
    assert job["started_at"] is not None
    assert job["finished_at"] is not None
    kinds = {each["kind"] for each in job["results"]}
    delivered = [(each["destination"], each["kind"], each["state"]) for each in job["deliveries"]]
    assert delivered == sorted((d, k, "pending") for d in ("archive", "pacs") for k in kinds)
    for row, made in zip(job["results"], node.results(job), strict=True):
        assert made.SOPInstanceUID == row["sop_instance_uid"]
        assert made.SOPClassUID == row["sop_class_uid"]
        assert made.StudyInstanceUID == STUDY
        assert node.archive.full_path(row["path"]).stat().st_size == row["size"]


@ON_SQLITE
def test_the_report_says_what_the_model_says(node: Node) -> None:
    node.receive(image())  # bright
    read_all(node.worker())
    report = report_of(node, node.jobs()[0])
    (group,) = image_groups(report)
    assert named(group, "Finding")[0].ConceptCodeSequence[0].CodeMeaning == "Pneumonia"
    assert named(group, "Normality")[0].ConceptCodeSequence[0].CodeMeaning == "Abnormal"
    assert named(group, "Algorithm Name")[0].TextValue == "tiny"
    assert float(percents(report)[0]) > 90
    assert report.PatientName == PATIENT


@ON_SQLITE
def test_without_destinations_results_are_kept(node: Node) -> None:
    node.receive(image())
    read_all(node.worker(profiles=()))
    (job,) = node.jobs()
    assert job["state"] == "done"
    assert job["deliveries"] == []
    assert job["results"]


@ON_SQLITE
def test_several_fitting_images_are_one_job_and_one_report(node: Node) -> None:
    node.receive(image(number=1), image(number=2), image(number=3))
    node.receive(image(number=4, ViewPosition="LL"))
    read_all(node.worker())
    (job,) = node.jobs()
    assert job["inputs"] == [f"{STUDY}.1.{number}" for number in (1, 2, 3)]
    overlays = [each["number"] for each in job["results"] if each["kind"] == "sc"]
    assert overlays == [1, 2, 3]
    assert len(image_groups(report_of(node, job))) == 3


def test_what_fits_no_model_is_skipped_with_its_reason(node: Node) -> None:
    node.receive(image(number=1, Modality="CT"), image(number=2, BodyPartExamined="HAND"))
    worker = node.worker()
    assert worker.route_due() == 1
    (job,) = node.jobs()
    assert job["state"] == "skipped"
    assert job["reason"] == ("modality CT is not CR or DX; body part HAND is not CHEST or THORAX")
    assert job["results"] == job["deliveries"] == []
    assert worker.work_once() == 0


def test_studies_are_read_one_by_one_and_each_has_its_own_job(node: Node) -> None:
    node.receive(*(image(study=f"{STUDY}.{number}") for number in range(1, 4)))
    worker = node.worker()
    assert worker.route_due() == 3
    assert [worker.work_once() for _ in range(4)] == [1, 1, 1, 0]
    for number in range(1, 4):
        (job,) = node.jobs(f"{STUDY}.{number}")
        assert job["state"] == "done"
        assert all(each.StudyInstanceUID == f"{STUDY}.{number}" for each in node.results(job))


def test_a_study_of_an_urgent_peer_goes_first(node: Node) -> None:
    node.receive(image(study=f"{STUDY}.1"))
    node.receive(image(study=f"{STUDY}.2"), caller="EMERGENCY")
    worker = node.worker(urgent_callers=frozenset({"EMERGENCY"}))
    worker.route_due()
    worker.work_once()
    ((waiting,), (done,)) = node.jobs(f"{STUDY}.1"), node.jobs(f"{STUDY}.2")
    assert (waiting["state"], waiting["priority"]) == ("queued", jobs.ROUTINE)
    assert (done["state"], done["priority"]) == ("done", jobs.URGENT)
    with node.database.read() as connection:
        assert set(connection.execute(select(Delivery.priority)).scalars()) == {jobs.URGENT}


@ON_SQLITE
def test_an_undecodable_image_is_dead_at_once_with_the_reason(node: Node) -> None:
    node.receive(image(PixelData=b"\0\0"))
    read_all(node.worker())
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("dead", 1)
    assert job["reason"].startswith("pixels cannot be decoded (ValueError")
    assert job["results"] == job["deliveries"] == []


@ON_SQLITE
@pytest.mark.parametrize("content", [None, b"", b"garbage" * 100])
def test_an_archive_file_that_cannot_be_read_is_told(node: Node, content: bytes | None) -> None:
    node.receive_file(image(), content)
    read_all(node.worker())
    (job,) = node.jobs()
    assert job["state"] == "skipped"
    assert job["reason"] == "1 archived file cannot be read"


@ON_SQLITE
def test_while_the_archive_is_away_its_studies_wait(node: Node) -> None:
    node.receive(image())
    worker = node.worker()
    with node.database.read() as connection:
        (instance,) = studies.instances(connection, STUDY)
    path = node.archive.full_path(instance.path)
    aside = path.rename(path.with_name("aside"))
    path.mkdir()  # opening it fails, and not because it is missing
    assert worker.route_due() == 1
    assert node.jobs() == []
    with node.database.read() as connection:
        waiting = stats.study(connection, STUDY)
    assert waiting["state"] == "waiting"
    path.rmdir()
    aside.rename(path)
    with node.database.write() as connection:
        studies.release(connection, [STUDY], 0.0)
    read_all(worker)
    assert [each["state"] for each in node.jobs()] == ["done"]


@ON_SQLITE
def test_an_archive_that_goes_away_after_routing_is_tried_again(node: Node) -> None:
    node.receive(image())
    worker = node.worker()
    worker.route_due()
    with node.database.read() as connection:
        (instance,) = studies.instances(connection, STUDY)
    path = node.archive.full_path(instance.path)
    path.unlink()
    path.mkdir()
    worker.work_once()
    (job,) = node.jobs()
    assert (job["state"], job["attempts"], job["reason"]) == (
        "queued",
        0,
        "the archive does not answer (IsADirectoryError)",
    )


@ON_SQLITE
def test_while_results_cannot_be_written_the_job_waits(node: Node) -> None:
    node.receive(image())
    worker = node.worker()
    worker.route_due()
    (node.archive.root / "results").write_text("a file where the folder should be")
    for _ in range(TWICE.attempts + 1):
        worker.work_once()
        with node.database.write() as connection:
            connection.execute(update(Job).values(run_at=0.0))
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("queued", 0)
    assert job["reason"].startswith("results cannot be written: ")
    (node.archive.root / "results").unlink()
    worker.work_once()
    assert node.jobs()[0]["state"] == "done"


@ON_SQLITE
@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
def test_images_are_ordered_by_number_and_a_malformed_one_disturbs_nobody(node: Node) -> None:
    odd = image(number=1)
    odd.add_new("InstanceNumber", "LO", "first")
    node.receive(odd, image(number=2, InstanceNumber=9), image(number=3, InstanceNumber=4))
    read_all(node.worker())
    (job,) = node.jobs()
    assert job["state"] == "done"
    overlays = sorted(
        (each.InstanceNumber, each.SourceImageSequence[0].ReferencedSOPInstanceUID)
        for each in node.results(job)
        if "SourceImageSequence" in each
    )
    assert [uid for _, uid in overlays] == [f"{STUDY}.1.{number}" for number in (1, 3, 2)]


@ON_SQLITE
def test_images_of_two_patients_make_no_report(node: Node) -> None:
    node.receive(image(number=1), image(number=2, PatientID="SOMEBODY"))
    read_all(node.worker())
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("dead", 1)
    assert job["reason"] == "the images of the study name different patients"


@ON_SQLITE
def test_beside_a_misfit_a_lost_file_is_told_too(node: Node) -> None:
    node.receive(image(number=1, ViewPosition="LL"))
    node.receive_file(image(number=2), None)
    node.receive_file(image(number=3), b"garbage")
    read_all(node.worker())
    (job,) = node.jobs()
    assert job["reason"] == ("view LL is not PA or AP or missing; 2 archived files cannot be read")


@ON_SQLITE
def test_a_file_that_is_lost_after_routing_makes_the_job_dead(node: Node) -> None:
    node.receive(image())
    worker = node.worker()
    worker.route_due()
    with node.database.read() as connection:
        ((_, path),) = jobs.inputs(connection, node.jobs()[0]["id"])
    node.archive.full_path(path).unlink()
    worker.work_once()
    (job,) = node.jobs()
    assert job["state"] == "dead"
    assert job["reason"] == "archived file cannot be read (FileNotFoundError)"


@ON_SQLITE
def test_a_lost_file_does_not_keep_the_others_from_being_read(node: Node) -> None:
    node.receive(image(number=1))
    node.receive_file(image(number=2), b"garbage")
    read_all(node.worker())
    (job,) = node.jobs()
    assert (job["state"], job["inputs"]) == ("done", [f"{STUDY}.1.1"])


@ON_SQLITE
def test_a_source_that_no_result_can_refer_to_is_dead(node: Node) -> None:
    made = image()
    node.receive_file(made, as_file(made))
    worker = node.worker()
    worker.route_due()
    del made.SeriesInstanceUID
    path = node.archive.instance_path(STUDY, str(made.SOPInstanceUID))
    node.archive.write(path, [as_file(made)])
    worker.work_once()
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("dead", 1)
    assert "SeriesInstanceUID" in job["reason"]


@pytest.mark.parametrize("fault", [Fault.FAILS_ON_BRIGHT, Fault.NAN_ON_BRIGHT])
def test_a_model_error_is_tried_again_and_then_dead(node: Node, fault: Fault) -> None:
    node.receive(image())
    worker = node.worker(package=write_package(node.folder / "broken", fault=fault))
    worker.route_due()
    states = []
    for _ in range(2):
        assert worker.work_once() == 1
        states.append((node.jobs()[0]["state"], node.jobs()[0]["attempts"]))
    assert states == [("queued", 1), ("dead", 2)]
    assert worker.work_once() == 0
    (job,) = node.jobs()
    assert job["reason"].startswith("model tiny")
    assert job["results"] == []


class Faulty(Archive):
    """Fails in a way that nobody foresaw, and quotes a name."""

    def write(self, path: str, chunks: Iterable[bytes | memoryview]) -> int:
        raise RuntimeError(28, "No space left on device", f"/data/{PATIENT}")


@ON_SQLITE
def test_a_fault_nobody_foresaw_is_tried_again_and_tells_no_names(node: Node) -> None:
    node.receive(image())
    worker = node.worker(archive=Faulty(node.archive.root))
    read_all(worker)
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("dead", 2)
    assert job["reason"].startswith("internal error at RuntimeError in ")
    with node.database.read() as connection:
        traceback = stats.traceback(connection, job["id"])
    assert traceback is not None
    assert "inference/worker.py" in traceback
    assert traceback.endswith("RuntimeError")
    assert PATIENT not in job["reason"]
    assert job["results"] == job["deliveries"] == []


def test_a_late_image_makes_a_second_job_over_all_images(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    node.receive(image(number=2))
    read_all(worker)
    first, second = node.jobs()
    assert (first["state"], second["state"]) == ("done", "done")
    assert first["inputs"] == [f"{STUDY}.1.1"]
    assert second["inputs"] == [f"{STUDY}.1.1", f"{STUDY}.1.2"]
    uids = [{each["sop_instance_uid"] for each in job["results"]} for job in (first, second)]
    assert not uids[0] & uids[1]  # nothing goes out under a UID that bears other bytes already
    assert [each["kind"] for each in second["results"]].count("sc") == 1


@ON_SQLITE
def test_a_late_image_that_does_not_fit_changes_nothing(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1))
    read_all(worker)
    node.receive(image(number=2, ViewPosition="LL"))
    assert worker.route_due() == 1
    assert worker.work_once() == 0
    assert len(node.jobs()) == 1


class Arriving(Archive):
    """Lets something happen the first time a file is looked up."""

    def __init__(self, root: Path, event: Callable[[], object]) -> None:
        super().__init__(root)
        self._event: Callable[[], object] | None = event

    def full_path(self, path: str) -> Path:
        event, self._event = self._event, None
        if event is not None:
            event()
        return super().full_path(path)


def test_an_image_that_arrives_while_its_study_is_routed_is_read_too(node: Node) -> None:
    node.receive(image(number=1))
    worker = node.worker(archive=Arriving(node.archive.root, lambda: node.receive(image(number=2))))
    assert worker.route_due() == 0
    assert node.jobs() == []
    assert worker.route_due() == 1
    (job,) = node.jobs()
    assert len(job["inputs"]) == 2


@ON_SQLITE
def test_a_late_image_after_a_misfit_is_read(node: Node) -> None:
    worker = node.worker()
    node.receive(image(number=1, ViewPosition="LL"))
    read_all(worker)
    node.receive(image(number=2))
    read_all(worker)
    assert [each["state"] for each in node.jobs()] == ["skipped", "done"]


def test_a_job_that_is_cancelled_while_it_is_read_leaves_nothing(node: Node) -> None:
    node.receive(image())

    def cancel() -> None:
        with node.database.write() as connection:
            jobs.cancel(connection, 1)

    read_all(node.worker(archive=Meanwhile(node.archive.root, cancel)))
    (job,) = node.jobs()
    assert (job["state"], job["reason"]) == ("cancelled", "cancelled by hand")
    assert job["results"] == job["deliveries"] == []


def _set(database: Database, **values: float) -> None:
    """Change columns of every job, as time or an accident would."""
    with database.write() as connection:
        connection.execute(update(Job).values(values))


def test_a_job_that_two_workers_read_is_recorded_once_and_alike(node: Node) -> None:
    node.receive(image(number=1), image(number=2, PhotometricInterpretation="MONOCHROME1"))
    second = node.worker("w2")

    def overtake() -> None:
        _set(node.database, lease_until=0.0)
        assert second.work_once() == 1

    first = node.worker("w1", archive=Meanwhile(node.archive.root, overtake))
    first.route_due()
    _set(node.database, created_at=1_000_000_000.0)
    assert first.work_once() == 1
    (job,) = node.jobs()
    assert (job["state"], job["attempts"]) == ("done", 2)
    assert all("/1-2/" in each["path"] for each in job["results"])
    late = node.archive.full_path("results/000000/1-1")
    counted = node.archive.full_path("results/000000/1-2")
    names = sorted(each.name for each in counted.iterdir())
    assert sorted(each.name for each in late.iterdir()) == names
    assert len(names) == len(job["results"])
    assert report_of(node, job).ContentDate in ("20010908", "20010909")  # when it was queued
    for name in names:
        assert (late / name).read_bytes() == (counted / name).read_bytes()


def test_a_failure_after_the_lease_was_lost_is_not_recorded(node: Node) -> None:
    node.receive(image())
    second = node.worker("w2")

    def overtake_and_fail() -> None:
        _set(node.database, lease_until=0.0)
        second.work_once()
        raise OSError(5, "Input/output error")

    read_all(node.worker("w1", archive=Meanwhile(node.archive.root, overtake_and_fail)))
    (job,) = node.jobs()
    assert (job["state"], job["reason"]) == ("done", None)


def test_the_heartbeat_holds_the_lease_while_a_job_takes_long(node: Node) -> None:
    node.receive(image())
    leases: list[float] = []

    def lease() -> float:
        with node.database.read() as connection:
            return float(connection.execute(select(Job.lease_until)).scalar_one() or 0.0)

    def wait_for_a_beat() -> None:
        leases.append(lease())
        deadline = time.monotonic() + 20
        while lease() == leases[0] and time.monotonic() < deadline:
            time.sleep(0.02)
        leases.append(lease())

    worker = node.worker(lease=3.0, archive=Meanwhile(node.archive.root, wait_for_a_beat))
    read_all(worker)
    assert leases[1] > leases[0]
    assert node.jobs()[0]["state"] == "done"


def test_a_job_of_another_version_waits_for_its_worker(node: Node) -> None:
    node.receive(image())
    newer = write_package(node.folder / "newer", ('version = "1.0"', 'version = "2.0"'))
    new, old = node.worker("w2", package=newer), node.worker("w1")
    assert new.route_due() == 1
    assert old.work_once() == 0
    assert new.work_once() == 1
    assert node.jobs()[0]["model_version"] == "2.0"


@ON_SQLITE
def test_a_package_that_cannot_be_used_stops_the_worker_at_its_start(node: Node) -> None:
    folder = write_package(node.folder / "broken")
    (folder / "CARD.md").unlink()
    with pytest.raises(ManifestError, match=r"CARD\.md is missing"):
        node.worker(package=folder)


@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
def test_a_malformed_study_does_not_hold_up_the_others(node: Node) -> None:
    poison = image(study=f"{STUDY}.666")
    poison.add_new("NumberOfFrames", "LO", "some")
    node.receive(poison, image())
    worker, stop = node.worker(), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 30
    while not _over(node) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    (skipped,) = node.jobs(f"{STUDY}.666")
    assert skipped["reason"] == "a header element is malformed (ValueError)"
    assert node.jobs()[0]["state"] == "done"


@ON_SQLITE
def test_a_study_that_cannot_be_routed_is_given_up_and_holds_up_nobody(node: Node) -> None:
    """Its file bears another SOP Instance UID than its row, which nothing that came over may."""
    node.receive_file(image(study=f"{STUDY}.666"), as_file(image(study=f"{STUDY}.666", number=9)))
    node.receive(image())
    worker = node.worker(profiles=(Profile(destination="pacs", notices=True),))
    assert worker.route_due() == 2
    assert node.jobs(f"{STUDY}.666") == []  # to be tried again
    read_all(worker)
    assert [each["state"] for each in node.jobs()] == ["done"]
    (job,) = node.jobs(f"{STUDY}.666")
    assert job["state"] == "skipped"
    assert job["reason"].startswith("internal error at KeyError in intake.py:")
    with node.database.read() as connection:
        traceback = stats.traceback(connection, job["id"])
        assert studies.due(connection) == []
    assert traceback is not None
    assert "inference/intake.py" in traceback
    assert [each["kind"] for each in job["deliveries"]] == ["notice"]
    assert worker.route_due() == 0


@ON_SQLITE
def test_no_reason_names_a_patient(node: Node) -> None:
    truncated, misfit, colour = (image(number=n, study=f"{STUDY}.{n}") for n in (1, 2, 3))
    truncated.PixelData = b"\0\0"
    misfit.ViewPosition = "LL"
    colour.PhotometricInterpretation = "RGB"
    node.receive(truncated, misfit, colour)
    node.receive_file(image(study=f"{STUDY}.4"), as_file(image(study=f"{STUDY}.4"))[:300])
    read_all(node.worker())
    with node.database.read() as connection:
        rows = stats.jobs(connection)
    assert len(rows) == 4
    for row in rows:
        assert row["state"] in ("dead", "skipped")
        assert row["reason"]
        assert PATIENT not in row["reason"]
        assert PATIENT_ID not in row["reason"]


@ON_SQLITE
def test_the_model_sees_dense_bone_white_in_both_monochromes(node: Node) -> None:
    values = np.zeros((40, 32), np.uint16)
    values[:8] = 4000
    node.receive(image(values, study=f"{STUDY}.1"))
    inverted = image(4000 - values, study=f"{STUDY}.2", PhotometricInterpretation="MONOCHROME1")
    node.receive(inverted)
    read_all(node.worker())
    both = [percents(report_of(node, node.jobs(f"{STUDY}.{n}")[0])) for n in (1, 2)]
    assert both[0] == both[1]
    assert both[0]


def _over(node: Node) -> bool:
    with node.database.read() as connection:
        rows = stats.jobs(connection)
    return len(rows) == 2 and all(each["state"] not in ("queued", "running") for each in rows)


def test_what_was_said_and_whose_study_it_is_can_be_looked_up(node: Node) -> None:
    node.receive(image())  # bright
    read_all(node.worker())
    with node.database.read() as connection:
        (row,) = connection.execute(select(Job.answers, Job.batch))
        (person,) = identities.of(connection, [STUDY]).values()
    said = json.loads(row.answers)
    assert (said["answer"], said["leading"], said["images"]) == ("abnormal", "pneumonia", 1)
    assert 0.9 < said["abnormal_probability"] <= 1
    assert row.batch == 1
    assert (person.patient_name, person.patient_id) == (PATIENT, PATIENT_ID)
    assert PATIENT_ID not in row.answers


def test_a_study_is_not_read_with_a_model_that_is_disabled(node: Node) -> None:
    worker = node.worker()
    with node.database.write() as connection:
        disabled.disable(connection, "tiny")
    node.receive(image())
    worker.route_due()
    (job,) = node.jobs(STUDY)
    assert (job["state"], job["reason"]) == ("skipped", "the model is disabled")
    with node.database.write() as connection:
        disabled.enable(connection, "tiny")
        by_hand.route_again(connection, STUDY)
    assert worker.route_due() == 1
    assert worker.work_once() == 1
    assert [each["state"] for each in node.jobs(STUDY)] == ["skipped", "done"]
