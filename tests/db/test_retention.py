"""What retention removes and what it keeps, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text, update

from db import commitment, dispatch, jobs, outbox, stats, studies
from db.archive import Archive
from db.commitment import Asked, Claimed, Reference
from db.commitment_stats import listed
from db.committer import Committer
from db.engine import Database
from db.errors import IllegalMove
from db.jobs import Claim, ModelRef
from db.outbox import Letter, StoredResult
from db.retention import Policy, Removed, Retention, Rule, candidates, recover
from db.retry import RetryPolicy
from db.schema import INSTANCE_MOVES, Commitment, CommitmentState, InstanceState
from db.studies import Arriving, StoredInstance
from db.verdict import Failure, judge

MODEL = ModelRef("chest", "1")
DX = "1.2.840.10008.5.1.4.1.1.1.1"
ONCE = RetryPolicy(attempts=1, first_seconds=0.0, longest_seconds=0.0)
GIGABYTE = 10**9
NEVER = threading.Event()


class Store:
    """A database and an archive, with short cuts."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.archive = Archive(folder / "data")
        self.told: list[Removed] = []
        self.free = 10 * GIGABYTE

    def instance(self, study: str, number: int = 1, own: bool = False) -> StoredInstance:
        uid = f"{study}.{number}"
        return StoredInstance(
            sop_instance_uid=uid, study_uid=study, series_uid=f"{study}.0", sop_class_uid=DX,
            transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=own, size=4, digest="",
            path=self.archive.instance_path(study, uid), calling_ae="CONSOLE",
        )  # fmt: skip

    def receive(self, study: str, images: int = 1, days_ago: float = 0.0) -> None:
        """Store images of a study that was taken for routing since."""
        for number in range(1, images + 1):
            instance = self.instance(study, number)
            self.archive.write(instance.path, [b"DICM"])
            with self.database.write() as connection:
                assert studies.record(connection, instance, 0.0)
        self.age(study, days_ago)

    def age(self, study: str, days_ago: float) -> None:
        """Let time pass since the study's last image, and let it be routed."""
        with self.database.write() as connection:
            connection.execute(
                text(
                    "update study set due_at = null, last_received_at = last_received_at - :seconds"
                    " where study_uid = :study"
                ),
                {"seconds": days_ago * 86_400, "study": study},
            )

    def read(self, study: str, *, claimed: bool = True) -> Claim | None:
        """Queue a job, and claim it."""
        with self.database.write() as connection:
            jobs.enqueue(connection, study, MODEL, studies.instances(connection, study))
            if not claimed:
                return None
            (claim,) = dispatch.claim(connection, "worker", [MODEL], 30.0)
        return claim

    def done(self, study: str) -> int:
        """Read a study with one result, which waits for delivery; the job's id."""
        claim = self.read(study)
        assert claim is not None
        uid = f"2.25.{claim.job_id}"
        path = self.archive.result_path(claim.job_id, claim.attempt, uid)
        self.archive.write(path, [b"DICM+"])
        result = StoredResult(
            kind="sr", number=1, rank=0, style="", sop_class_uid="1.2.3", sop_instance_uid=uid,
            path=path, size=5,
        )  # fmt: skip
        letter = Letter(destination="pacs", kind="sr", number=1, forms=(uid,))
        with self.database.write() as connection:
            jobs.finish(connection, claim)
            outbox.post(connection, claim.job_id, [result], [letter])
        return claim.job_id

    def deliver(self, end: str = "sent") -> None:
        """Bring what waits for delivery to an end."""
        with self.database.write() as connection:
            for parcel in outbox.claim(connection, "pacs", "courier", 30.0, 10, ONCE):
                if end == "sent":
                    outbox.sent(connection, parcel, parcel.alternatives[0].result_id)
                elif end == "refused":
                    outbox.refused(connection, parcel, "takes no form")
                else:
                    outbox.fail(connection, parcel, "no answer", ONCE)

    def retention(self, **policy: Any) -> Retention:
        return Retention(
            Policy(**policy), self.database, self.archive, lambda: self.free, self.told.append
        )

    def purge(self, **policy: Any) -> list[str]:
        """Remove what may go; the UIDs of the studies, in order."""
        return [each.study_uid for each in self.retention(**policy).run_once(NEVER)]

    def states(self) -> dict[str, str]:
        with self.database.read() as connection:
            rows = connection.execute(text("select sop_instance_uid, state from instance"))
            return {row.sop_instance_uid: row.state for row in rows}

    def study(self, study: str) -> dict[str, Any]:
        with self.database.read() as connection:
            return stats.study(connection, study)

    def files(self) -> list[str]:
        root = self.archive.root
        return sorted(str(each.relative_to(root)) for each in root.rglob("*") if each.is_file())


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    return Store(database, tmp_path)


def test_by_default_nothing_is_removed(store: Store) -> None:
    store.receive("1.2", days_ago=10_000)
    store.free = 0
    assert store.purge() == []
    assert not Policy().removes
    assert store.states() == {"1.2.1": "stored"}


def test_images_go_by_age_and_their_history_stays(store: Store) -> None:
    store.receive("1.2", images=3, days_ago=31)
    job = store.done("1.2")
    store.deliver()
    store.receive("1.3", days_ago=29)
    assert store.purge(source_days=30) == ["1.2"]
    result = store.archive.result_path(job, 1, f"2.25.{job}")
    assert store.files() == [store.instance("1.3").path, result]
    shown = store.study("1.2")
    assert (shown["state"], shown["instances"], shown["purged"]) == ("purged", 0, 3)
    (known,) = shown["jobs"]
    with store.database.read() as connection:
        assert stats.job(connection, known["id"])["inputs"] == ["1.2.1", "1.2.2", "1.2.3"]
    (told,) = store.told
    assert (told.rule, told.classes, told.size) == (Rule.AGE, {DX: 3}, 12)
    assert not (store.archive.full_path(store.instance("1.2").path)).parent.exists()
    assert store.purge(source_days=30) == []


def test_what_is_under_way_is_never_removed(store: Store) -> None:
    policy = {"source_days": 1.0, "delivered_days": 1.0, "mark_bytes": GIGABYTE}
    store.free = 0
    for study in ("1.1", "1.2", "1.3", "1.4"):
        store.receive(study, days_ago=100)
    with store.database.write() as connection:
        connection.execute(text("update study set due_at = 1e12 where study_uid = '1.1'"))
    store.read("1.2", claimed=False)
    with store.database.write() as connection:  # out of the next claims' way
        connection.execute(text("update job set run_at = 1e12"))
    store.read("1.3")
    store.done("1.4")
    assert store.purge(**policy) == []
    store.deliver()
    assert store.purge(**policy) == ["1.4"]


@pytest.mark.parametrize(
    ("ending", "goes"),
    [
        ("sent", {Rule.AGE, Rule.DELIVERED, Rule.DISK}),
        ("refused", {Rule.AGE, Rule.DISK}),
        ("dead", {Rule.AGE, Rule.DISK}),
        ("job dead", {Rule.AGE}),
        ("skipped", {Rule.AGE, Rule.DELIVERED, Rule.DISK}),
    ],
)
def test_each_rule_has_its_own_idea_of_finished(store: Store, ending: str, goes: set[Rule]) -> None:
    store.receive("1.2", days_ago=2)
    if ending == "job dead":
        claim = store.read("1.2")
        assert claim is not None
        with store.database.write() as connection:
            jobs.fail(connection, claim, "no retry can mend it", None)
    elif ending == "skipped":
        with store.database.write() as connection:
            jobs.skip(connection, "1.2", MODEL, studies.instances(connection, "1.2"), "no image")
    else:
        store.done("1.2")
        store.deliver(ending)
    found = {rule for rule in Rule if list(candidates(store.database, rule, 1.0))}
    assert found == goes


def test_the_oldest_go_until_a_tenth_more_than_the_mark_is_free(store: Store) -> None:
    for study, days in (("1.3", 1), ("1.1", 3), ("1.2", 2), ("1.4", 0.5)):
        store.receive(study, days_ago=days)
    readings = iter([90, 90, 100, 109, 111, 120])
    retention = Retention(
        Policy(mark_bytes=100), store.database, store.archive, lambda: next(readings)
    )
    assert [each.study_uid for each in retention.run_once(NEVER)] == ["1.1", "1.2", "1.3"]


def test_a_disk_that_stays_full_is_said_once(store: Store) -> None:
    store.free = 0
    retention = store.retention(mark_bytes=100)
    with structlog.testing.capture_logs() as logs:
        retention.run_once(NEVER)
        retention.run_once(NEVER)
    assert [each["event"] for each in logs] == ["retention.stuck"]


def test_a_forgotten_study_leaves_nothing(store: Store) -> None:
    for study in ("1.2", "1.3"):
        store.receive(study, images=2, days_ago=100)
        store.done(study)
        store.deliver()
    store.age("1.2", 300)
    assert store.purge(source_days=30, result_days=365) == ["1.2", "1.3", "1.2"]
    with store.database.read() as connection:
        left = {
            table: connection.execute(text(f"select count(*) from {table}")).scalar_one()
            for table in (
                "study", "instance", "job", "job_input", "result", "delivery", "delivery_form",
            )
        }  # fmt: skip
    assert left == {
        "study": 1, "instance": 2, "job": 1, "job_input": 2, "result": 1, "delivery": 1,
        "delivery_form": 1,
    }  # fmt: skip
    assert [file.split("/")[0] for file in store.files()] == ["results"]
    assert store.told[-1].rule is Rule.FORGOTTEN
    assert store.told[-1].classes == {"1.2.3": 1}


def test_results_that_another_study_refers_to_are_kept(store: Store) -> None:
    store.receive("1.2", days_ago=100)
    store.done("1.2")
    store.deliver()
    assert store.purge(source_days=30) == ["1.2"]
    moved = StoredInstance(**{**vars(store.instance("1.2")), "study_uid": "1.9"})
    with store.database.write() as connection:
        studies.record(connection, moved, 0.0)
        connection.execute(text("update study set due_at = null, last_received_at = 1"))
    store.archive.write(moved.path, [b"DICM"])
    assert store.purge(source_days=30, result_days=50) == ["1.9", "1.2", "1.9"]


def test_an_instance_that_is_sent_again_is_new(store: Store) -> None:
    store.receive("1.2", days_ago=100)
    store.done("1.2")
    store.deliver()
    store.purge(source_days=30)
    with store.database.read() as connection:
        assert studies.stored(connection, "1.2.1") is None
        assert studies.instances(connection, "1.2") == []
    store.receive("1.2")
    assert store.states() == {"1.2.1": "stored"}
    shown = store.study("1.2")
    assert (shown["state"], shown["instances"], shown["purged"]) == ("routed", 1, 0)
    with store.database.write() as connection:
        inputs = studies.instances(connection, "1.2")
        assert jobs.enqueue(connection, "1.2", MODEL, inputs) is None  # it was read before
        assert jobs.enqueue(connection, "1.2", ModelRef("chest", "2"), inputs) is not None


def test_a_dead_job_whose_images_are_gone_cannot_be_tried_again(store: Store) -> None:
    store.receive("1.2", days_ago=100)
    claim = store.read("1.2")
    assert claim is not None
    with store.database.write() as connection:
        jobs.fail(connection, claim, "no retry can mend it", None)
    store.purge(source_days=30)
    with (
        pytest.raises(IllegalMove, match="1 of its images are not here"),
        store.database.write() as connection,
    ):
        jobs.retry(connection, claim.job_id)


def test_our_own_result_coming_back_makes_no_purged_study_due(store: Store) -> None:
    store.receive("1.2", days_ago=100)
    store.purge(source_days=30)
    own = store.instance("1.2", 7, own=True)
    store.archive.write(own.path, [b"DICM"])
    with store.database.write() as connection:
        assert studies.record(connection, own, 0.0)
    shown = store.study("1.2")
    assert (shown["state"], shown["due_at"]) == ("routed", None)
    store.age("1.2", 100)
    assert store.purge(source_days=30) == ["1.2"]
    assert store.files() == []


def test_commitment_tells_the_truth_of_what_is_gone(store: Store) -> None:
    store.receive("1.2", images=2, days_ago=100)
    store.purge(source_days=30)
    store.receive("1.3", images=2)
    uids = ["1.2.1", "1.3.1", "1.3.2"]
    asked = Claimed(
        calling_ae="CONSOLE", transaction_uid="2.25.1", commitment_id=1, duplicate=False, attempt=1,
        owner="x", references=tuple(Reference(DX, uid) for uid in uids),
    )  # fmt: skip
    with store.database.write() as connection:
        assert studies.lose(connection, ["1.3.2", "1.2.2"]) == ["1.3.2"]
        assert judge(connection, store.archive, asked) == (
            Failure.NO_SUCH_INSTANCE,
            None,
            Failure.PROCESSING_FAILURE,
        )
        assert studies.missing(connection, "1.3") == {"purged": 0, "lost": 1}


def asked(store: Store, transaction: str, days_ago: float, state: str) -> int:
    """A request for storage commitment that came to this long ago."""
    with store.database.write() as connection:
        request = Asked(
            calling_ae="CONSOLE",
            transaction_uid=transaction,
            references=(Reference(DX, "1.2.1"), Reference(DX, "1.3.1")),
        )
        commitment_id = commitment.record(connection, request)
        then = time.time() - days_ago * 86_400
        ended = {"reported_at": then} if state == CommitmentState.REPORTED else {}
        connection.execute(
            update(Commitment)
            .where(Commitment.id == commitment_id)
            .values(state=state, created_at=then, **ended)
        )
    return commitment_id


def test_requests_for_commitment_go_when_results_would(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment, "_PAGE", 2)
    going = [asked(store, f"2.25.{number}", 40, "reported") for number in range(3)]
    going.append(asked(store, "2.25.3", 40, "dead"))
    staying = [
        asked(store, "2.25.4", 40, "pending"),
        asked(store, "2.25.5", 20, "reported"),
        asked(store, "2.25.6", 20, "dead"),
    ]
    store.purge(source_days=10)
    assert set(going) <= set(requests(store))
    store.purge(result_days=30)
    assert requests(store) == dict.fromkeys(staying, 2)


def requests(store: Store) -> dict[int, int]:
    """Ids of requests, with the number of their instances."""
    with store.database.read() as connection:
        return {each["id"]: each["instances"] for each in reversed(listed(connection))}


def test_every_state_of_an_instance_has_its_moves() -> None:
    assert set(INSTANCE_MOVES) == set(InstanceState)


# A real process that kills itself at one place of the way out.
_KILLED = """
import os, sys, threading
from pathlib import Path
from db.archive import Archive
from db.engine import Database
from db.retention import Policy, Retention

class Killed(Archive):
    def retire(self, paths):
        super().retire(paths)
        if sys.argv[3] == "before the commit":
            os._exit(9)

Retention(
    Policy(source_days=1), Database(sys.argv[1]), Killed(Path(sys.argv[2])), lambda: 0,
    lambda gone: os._exit(9),
).run_once(threading.Event())
"""


@pytest.mark.parametrize("place", ["before the commit", "after the commit"])
def test_a_crash_leaves_no_lie(store: Store, place: str) -> None:
    store.receive("1.2", images=3, days_ago=2)
    before = store.files()
    url = store.database.engine.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", _KILLED, url, str(store.archive.root), place]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    assert subprocess.run(arguments, check=False, env=environment).returncode == 9
    assert all(each.startswith("purged/") for each in store.files())
    recover(store.database, store.archive)
    if place == "before the commit":
        assert store.files() == before
        assert set(store.states().values()) == {"stored"}
    else:
        assert store.files() == []
        assert set(store.states().values()) == {"purged"}


def test_what_was_sent_again_is_not_overwritten_by_what_comes_back(store: Store) -> None:
    store.receive("1.2")
    path = store.instance("1.2").path
    store.archive.retire([path])
    store.archive.write(path, [b"new"])
    recover(store.database, store.archive)
    assert store.archive.full_path(path).read_bytes() == b"new"
    assert store.files() == [path]


def test_an_archive_that_is_away_is_not_taken_for_an_empty_one(store: Store) -> None:
    store.receive("1.2", days_ago=100)
    (store.archive.root / "archive").rename(store.archive.root / "unmounted")
    with pytest.raises(FileNotFoundError, match="away"):
        store.purge(source_days=30)
    assert store.states() == {"1.2.1": "stored"}


def test_several_remove_each_study_once(store: Store) -> None:
    for number in range(12):
        store.receive(f"1.{number}", days_ago=100)
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(store.purge, source_days=30) for _ in range(3)]
        removed = [study for run in runs for study in run.result()]
    assert sorted(removed) == sorted(f"1.{number}" for number in range(12))
    assert store.files() == []


def test_what_arrives_while_its_study_is_removed_is_kept(store: Store) -> None:
    """Images are sent again and again while all that is finished is removed at once."""
    studies_ = [f"1.{number}" for number in range(4)]
    committer = Committer(store.database, store.archive)
    stop = threading.Event()

    def send(study: str) -> int:
        stored = 0
        for _ in range(30):
            instance = store.instance(study)
            partial = store.archive.partial_path()
            partial.write_bytes(b"DICM")
            claimed = store.archive.claim(partial, instance.path)
            if committer.commit(Arriving(instance, 0.0), partial):
                stored += 1
            elif claimed:
                store.archive.unclaim(partial, instance.path)
            partial.unlink()
            store.age(study, 100)
        return stored

    def remove() -> int:
        retention = store.retention(source_days=30)
        removed = 0
        while not stop.is_set():
            removed += len(retention.run_once(stop))
        return removed

    with ThreadPoolExecutor(6) as pool:
        removing = [pool.submit(remove) for _ in range(2)]
        try:
            stored = sum(pool.map(send, studies_))
        finally:
            stop.set()
        removed = sum(each.result() for each in removing)
    here = sorted(uid for uid, state in store.states().items() if state == "stored")
    assert store.files() == sorted(store.instance(uid.rpartition(".")[0]).path for uid in here)
    assert removed > 0
    assert stored == removed + len(here)
