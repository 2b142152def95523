"""Where a test study stands still, and why: ``wetread doctor`` reads it from the tables."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import update

from db import holds, jobs, outage
from db.archive import Archive
from db.engine import Database
from db.jobs import ModelRef
from db.schema import Delivery
from tests.db.test_jobs import arrive, claimed, instance, queue
from tests.delivering import report
from tests.doctoring import settings
from wetread.config import load
from wetread.doctor.finding import Finding, Verdict
from wetread.doctor.following import Following
from wetread.doctor.surroundings import Surroundings

PACS = """\
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
commitment = {}
"""


def followed(database: Database, folder: Path, commitment: str = "false") -> list[Finding]:
    """What is said of study 1.2.3 when the time is up."""
    url = database.engine.url.render_as_string(hide_password=False)
    file = settings(folder, f'[database]\nurl = "{url}"\n{PACS.format(commitment)}')
    around = Surroundings(settings=load(file), file=file)
    return list(Following(around, "1.2.3", deadline=time.monotonic()).steps())


def set_deliveries(database: Database, **values: object) -> None:
    with database.write() as connection:
        connection.execute(update(Delivery).values(**values))


def test_no_worker_takes_it(database: Database, tmp_path: Path) -> None:
    arrive(database, instance(), quiet=0.0)
    (found,) = followed(database, tmp_path)
    assert found.verdict is Verdict.FAILED
    assert found.found.startswith("no worker has taken the study: it is due, due at 2")
    assert "start a worker" in found.remedy


def test_its_model_is_paused(database: Database, tmp_path: Path) -> None:
    job_id = queue(database)
    with database.write() as connection:
        holds.pause(connection)
    (found,) = followed(database, tmp_path)
    assert found.found == f"job {job_id} is queued still: its model is paused"
    assert found.remedy == "'wetread models resume' goes on"


def test_its_job_fails_for_good(database: Database, tmp_path: Path) -> None:
    queue(database)
    work = claimed(database)
    with database.write() as connection:
        jobs.fail(connection, work, "the graph failed", None)
    (found,) = followed(database, tmp_path)
    assert found.found == f"job {work.job_id} is dead: the graph failed"
    assert "--traceback" in found.remedy


def test_no_model_reads_it(database: Database, tmp_path: Path) -> None:
    arrive(database, instance())
    with database.write() as connection:
        jobs.skip(connection, "1.2.3", ModelRef("m", "1"), [instance()], "view LL is not read")
    (found,) = followed(database, tmp_path)
    assert found.found.endswith("is skipped: view LL is not read")
    assert "install or enable a model" in found.remedy


def test_the_destination_is_away(database: Database, archive: Archive, tmp_path: Path) -> None:
    report(database, archive, "1.2.3")
    with database.write() as connection:
        outage.begin(connection, "pacs", "no connection")
    read, found = followed(database, tmp_path)
    assert read.verdict is Verdict.OK
    assert (found.subject, found.verdict) == ("pacs", Verdict.FAILED)
    assert found.found == "sr is pending: it is away: no connection"
    assert found.remedy


def test_no_courier_takes_it(database: Database, archive: Archive, tmp_path: Path) -> None:
    report(database, archive, "1.2.3")
    _, found = followed(database, tmp_path)
    assert found.found == "sr is pending: no courier has taken it"


@pytest.mark.parametrize(
    ("state", "verdict"), [("refused", Verdict.FAILED), ("held", Verdict.WARNING)]
)
def test_the_destination_does_not_get_it(
    database: Database, archive: Archive, tmp_path: Path, state: str, verdict: Verdict
) -> None:
    report(database, archive, "1.2.3")
    set_deliveries(database, state=state, reason="because")
    _, found = followed(database, tmp_path)
    assert found.verdict is verdict
    assert found.found.startswith(f"sr is {state}: because")
    assert found.remedy


def test_sent_and_committed(database: Database, archive: Archive, tmp_path: Path) -> None:
    report(database, archive, "1.2.3")
    moment = time.time() + 5
    set_deliveries(database, state="sent", sent_at=moment)
    _, found = followed(database, tmp_path)
    assert found.verdict is Verdict.OK
    assert found.found.startswith("1 results sent within ")
    _, found = followed(database, tmp_path, "true")
    assert found.verdict is Verdict.WARNING
    assert "it has not committed to keeping 1 of them yet" in found.found
    set_deliveries(database, state="committed", committed_at=moment + 2.5)
    _, found = followed(database, tmp_path, "true")
    assert found.verdict is Verdict.OK
    assert found.found.endswith(", committed 2.5 s later")
