"""What an administrator finds and mends by the command line, and who is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import typer
from sqlalchemy import text

from db import dispatch, identities, jobs, outage, outbox, studies
from db.engine import Database
from db.identities import Person
from db.jobs import ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.studies import DueStudy, StoredInstance
from tests.auditschema import alert, messages
from tests.commandline import CommandLine
from tests.mail import letters
from tests.tinymodel import write_package
from wetread.cli import main
from wetread.cli.options import parse_moment
from wetread.config import load
from wetread.roles import open_database

RETRY = RetryPolicy(attempts=1, first_seconds=0, longest_seconds=0)
MODEL, OTHER = ModelRef("tiny", "1.0"), ModelRef("other", "1.0")
HOSTILE = "Doe\x1b]0;title\x07\x1b[2J^Ann"
ANN = Person(patient_name="Doe^Ann", patient_id="P-17", accession_number="A1")


@pytest.fixture
def wetread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> CommandLine:
    return CommandLine(monkeypatch, capsys, tmp_path)


@pytest.fixture
def database(wetread: CommandLine) -> Database:
    """The database of a node with default settings."""
    return open_database(load())


def image(study: str) -> StoredInstance:
    return StoredInstance(
        sop_instance_uid=f"{study}.1", study_uid=study, series_uid="1.2.3", sop_class_uid="1.2.4",
        transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=False, size=1,
        digest="", path=f"archive/{study}.dcm", calling_ae="CONSOLE",
    )  # fmt: skip


def add_study(database: Database, number: int = 1, model: ModelRef = MODEL) -> str:
    study = f"1.2.{number}"
    with database.write() as connection:
        studies.record(connection, image(study), 3600)
        jobs.enqueue(connection, study, model, [image(study)])
        identities.record(connection, study, ANN)
    return study


def add_dead(database: Database, number: int = 1, model: ModelRef = MODEL) -> str:
    study = add_study(database, number, model)
    with database.write() as connection:
        (claimed,) = dispatch.claim(connection, "w", [model], 30)
        jobs.fail(connection, claimed, "out of memory", None)
    return study


def add_done(database: Database, number: int = 1) -> str:
    study = add_study(database, number)
    result = StoredResult(
        kind="sr", number=1, rank=0, style="", sop_class_uid="1.2.9",
        sop_instance_uid=f"2.25.{number}", path="results/x.dcm", size=7,
    )  # fmt: skip
    with database.write() as connection:
        (claimed,) = dispatch.claim(connection, "w", [MODEL], 30)
        jobs.finish(connection, claimed, answers='{"answer": "normal"}')
        outbox.post(connection, claimed.job_id, [result], letters("pacs", [result]))
    return study


def refuse(database: Database) -> None:
    with database.write() as connection:
        (parcel, *_) = outbox.claim(connection, "pacs", "c", 30, 9, RETRY)
        outbox.refused(connection, parcel, "no SR class is accepted")


def told() -> list[str]:
    file = Path("wetread-data/audit/audit.xml")
    return [alert(each) for each in messages(file.read_text("utf-8"))] if file.exists() else []


@pytest.mark.parametrize("list_of", ["jobs", "studies"])
def test_whose_study_it_is_is_shown_when_asked_for_and_told(
    wetread: CommandLine, database: Database, list_of: str
) -> None:
    study = add_done(database)
    one = "1" if list_of == "jobs" else study
    for command in ([list_of, "list"], [list_of, "show", one]):
        for plain in (wetread(*command), wetread(*command, "--json")):
            assert "Doe" not in plain.out
            assert "P-17" not in plain.out
    assert told() == []
    for command in ([list_of, "list"], [list_of, "show", one]):
        assert "Doe^Ann" in wetread(*command, "--phi").out
        shown = wetread(*command, "--phi", "--json").json
        row = shown[0] if isinstance(shown, list) else shown
        assert (row["patient_name"], row["patient_id"]) == ("Doe^Ann", "P-17")
        assert row["accession_number"] == "A1"
    assert told() == ["patient identity shown"] * 4


def test_a_name_moves_no_cursor(wetread: CommandLine, database: Database) -> None:
    study = add_study(database)
    with database.write() as connection:
        connection.execute(text("update identity set patient_name = :name"), {"name": HOSTILE})
    for command in (["studies", "list"], ["studies", "show", study], ["jobs", "show", "1"]):
        out = wetread(*command, "--phi").out
        assert "Doe?]0;title??[2J^Ann" in out
        assert "\x1b" not in out
    assert wetread("studies", "list", "--phi", "--json").json[0]["patient_name"] == HOSTILE


def test_times_in_lists_are_on_the_clock_of_this_host(
    wetread: CommandLine, database: Database
) -> None:
    study = add_done(database)
    with database.write() as connection:
        connection.execute(text("update job set created_at = 0.25, finished_at = 90"))
    shown = [f"{datetime.fromtimestamp(each):%Y-%m-%d %H:%M:%S}" for each in (0, 90)]  # noqa: DTZ006
    listed = wetread("jobs", "list").out.splitlines()[1]
    assert all(each in listed for each in shown)
    assert shown[1] in wetread("studies", "show", study).out
    (row,) = wetread("jobs", "list", "--json").json
    assert row["created_at"] == "1970-01-01T00:00:00.250+00:00"


def test_identity_that_cannot_be_audited_is_not_shown(
    wetread: CommandLine, database: Database
) -> None:
    add_done(database)
    Path("wetread-data/audit").write_text("a file where the folder should be")
    refused = wetread("jobs", "list", "--phi")
    assert (refused.code, refused.out) == (3, "")


def test_lists_are_narrowed_and_paged(wetread: CommandLine, database: Database) -> None:
    for number in (1, 2, 3):
        add_study(database, number, OTHER if number == 2 else MODEL)

    def ids(*options: str) -> list[int]:
        return [row["id"] for row in wetread("jobs", "list", "--json", *options).json]

    assert ids("--model", "other") == [2]
    assert ids("--accession", "A1", "--since", "1h") == [3, 2, 1]
    assert ids("--urgent") == []
    assert ids("--limit", "2") == [3, 2]
    assert ids("--limit", "2", "--before", "2") == [1]
    page = wetread("jobs", "list", "--limit", "2")
    assert page.err == "wetread: there may be more; go on with --before 2\n"
    found = wetread("studies", "list", "--patient", "doe a", "--limit", "1", "--json").json
    assert len(found) == 1
    after = found[0]["study_uid"]
    assert len(wetread("studies", "list", "--before", after, "--json").json) == 2
    assert wetread("studies", "list", "--state", "routed").out == "no studies\n"
    assert wetread("studies", "list", "--before", "9.9").code == 4
    assert wetread("jobs", "list", "--since", "yesterday").code == 2


@pytest.mark.parametrize(
    ("said", "ago"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5d", 129_600), ("1w", 604_800)]
)
def test_a_span_ends_now(said: str, ago: float) -> None:
    before = time.time()
    assert before - ago <= parse_moment(said) <= time.time() - ago


def test_a_moment_may_name_its_time_zone() -> None:
    assert parse_moment("1970-01-02T01:00+01:00") == 86_400
    for wrong in ("", "5", "-1h", "1y", "nan", "2026-13-01"):
        with pytest.raises(typer.BadParameter):
            parse_moment(wrong)


def test_many_jobs_are_retried_at_once(wetread: CommandLine, database: Database) -> None:
    add_dead(database, 1)
    add_dead(database, 2, OTHER)
    add_dead(database, 3)
    unasked = wetread("jobs", "retry", "--state", "dead", "--model", "tiny")
    assert (unasked.code, unasked.out) == (2, "")
    assert unasked.err == "wetread: retry 2 jobs that are dead? Say --yes.\n"
    done = wetread("jobs", "retry", "--state", "dead", "--model", "tiny", "--yes", "--json")
    assert [(row["id"], row["state"]) for row in done.json] == [(1, "queued"), (3, "queued")]
    assert told() == ["job 1 (tiny) queued again", "job 3 (tiny) queued again"]
    assert wetread("jobs", "retry", "--state", "dead", "--since", "1h", "-y").out == (
        "job 2 is queued\n"
    )
    assert wetread("jobs", "retry", "--state", "dead", "--yes").out == "no jobs\n"
    for wrong in (["retry"], ["retry", "1", "--state", "dead"], ["cancel"]):
        assert wetread("jobs", *wrong).code == 2


def test_one_that_cannot_be_cancelled_does_not_keep_the_others(
    wetread: CommandLine, database: Database
) -> None:
    add_study(database, 1)
    add_dead(database, 2, OTHER)
    add_study(database, 3)
    done = wetread("jobs", "cancel", 1, 2, 3, 99)
    assert done.code == 1
    assert done.out == "job 1 is cancelled\njob 3 is cancelled\n"
    assert done.err == (
        "wetread: job 2 is dead and cannot become cancelled\nwetread: there is no job 99\n"
    )


def test_an_urgent_job_overtakes(wetread: CommandLine, database: Database) -> None:
    add_study(database, 1)
    add_study(database, 2)
    assert wetread("jobs", "urgent", 2, "--json").json["priority"] == jobs.URGENT
    with database.write() as connection:
        (claimed,) = dispatch.claim(connection, "w", [MODEL], 30)
    assert claimed.job_id == 2
    assert told() == ["job 2 (tiny) made urgent"]


def test_what_an_urgent_job_has_to_deliver_overtakes(
    wetread: CommandLine, database: Database
) -> None:
    add_done(database, 1)
    add_done(database, 2)
    assert wetread("jobs", "urgent", 2).out == "job 2 is done\n"
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "c", 30, 1, RETRY)
        assert parcel.job_id == 2
        outbox.sent(connection, parcel, parcel.alternatives[0].result_id)
    again = wetread("jobs", "urgent", 2)
    assert (again.code, again.out) == (1, "")
    assert "job 2 is done and nothing of it waits" in again.err


def test_deliveries_are_listed_and_retried(wetread: CommandLine, database: Database) -> None:
    add_done(database)
    refuse(database)
    (row,) = wetread("deliveries", "list", "--state", "refused", "--json").json
    assert (row["id"], row["destination"], row["reason"]) == (1, "pacs", "no SR class is accepted")
    assert wetread("deliveries", "list", "--destination", "web").out == "no deliveries\n"
    assert "refused" in wetread("deliveries", "list", "--since", "1h").out
    assert wetread("deliveries", "retry", 1).out == "delivery 1 is pending\n"
    twice = wetread("deliveries", "retry", 1)
    assert twice.code == 1
    assert twice.err == "wetread: delivery 1 is pending and not dead, refused or held\n"
    assert wetread("deliveries", "retry", 7).code == 4
    refuse(database)
    many = ["--state", "refused", "--destination", "pacs", "--unchecked", "--json"]
    assert wetread("deliveries", "retry", *many).code == 2
    assert wetread("deliveries", "retry", *many, "--yes").json[0]["state"] == "pending"
    assert told() == [
        "delivery 1 to pacs to be sent again",
        "delivery 1 to pacs to be sent again without the patient check",
    ]


def test_a_study_that_was_given_up_is_routed_again(
    wetread: CommandLine, database: Database
) -> None:
    study = add_study(database)
    with database.write() as connection:
        jobs.cancel(connection, 1)
        jobs.skip(connection, study, OTHER, [image(study)], "internal error at x.py:1", "trace")
        connection.execute(text("update study set due_at = null"))
    assert wetread("studies", "route", study, "--json").json["state"] == "due"
    assert told() == ["study to be routed again"]
    with database.write() as connection:
        (due,) = studies.due(connection)
        assert studies.take(connection, DueStudy(study, due.due_at), 1)
        # The model that had failed reads it now; what was cancelled by hand stays so.
        assert jobs.enqueue(connection, study, OTHER, [image(study)]) is not None
        assert jobs.enqueue(connection, study, MODEL, [image(study)]) is None
    assert wetread("studies", "route", "9.9").code == 4
    with database.write() as connection:
        connection.execute(text("update instance set state = 'purged'"))
    gone = wetread("studies", "route", study)
    assert gone.code == 1
    assert "none of its images is here" in gone.err


def test_a_study_and_its_jobs_show_their_way(wetread: CommandLine, database: Database) -> None:
    study = add_done(database)
    add_study(database, 2)
    for shown in (wetread("studies", "show", study), wetread("jobs", "show", 1)):
        for step in ("first image received", "job queued", "job done", "result to be sent"):
            assert step in shown.out
    row = wetread("jobs", "show", 1, "--json").json
    assert row["answers"] == {"answer": "normal"}
    assert {step["job_id"] for step in row["timeline"]} == {None, 1}


def test_a_node_is_paused_and_resumed(wetread: CommandLine, database: Database) -> None:
    assert wetread("pause", "--reason", "new PACS", "--json").json[0]["reason"] == "new PACS"
    assert wetread("resume").out == "nothing is paused\n"
    assert told() == ["reading with all models paused", "reading with all models resumed"]


def test_a_model_is_disabled_and_enabled(
    wetread: CommandLine, database: Database, tmp_path: Path
) -> None:
    write_package(tmp_path / "models")
    Path("wetread.toml").write_text('[models]\nfolders = ["models"]\n', "utf-8")
    add_study(database)
    (off,) = wetread("models", "disable", "tiny", "--reason", "wrong", "--json").json
    assert (off["name"], off["reason"]) == ("tiny", "wrong")
    assert "tiny since" in wetread("status").out
    with database.write() as connection:
        assert dispatch.claim(connection, "w", [MODEL], 30) == []
    resumed = wetread("models", "resume", "tiny")
    assert (resumed.code, resumed.out) == (1, "")
    assert "model tiny is disabled" in resumed.err
    assert wetread("models", "enable", "tiny").out == "nothing is disabled\n"
    assert wetread("status", "--json").json["paused"] == []
    assert wetread("models", "enable", "tiny").code == 4
    assert wetread("models", "disable", "none-such").code == 4
    assert told() == ["model tiny disabled", "model tiny enabled"]


def test_a_drained_node_is_paused_and_has_nothing_at_hand(
    wetread: CommandLine, database: Database
) -> None:
    add_study(database)
    assert wetread("drain").out.startswith("drained: ")  # what is queued stays so
    (paused,) = wetread("status", "--json").json["paused"]
    assert paused["name"] == "*"
    wetread("resume")
    with database.write() as connection:
        dispatch.claim(connection, "w", [MODEL], 30)
    busy = wetread("drain", "--timeout", "0.1", "--json")
    assert (busy.code, busy.json["drained"], busy.json["running"]) == (1, False, 1)
    assert "not drained: 1 jobs are being read, 0 results are to be sent" in busy.err
    with database.write() as connection:
        jobs.cancel(connection, 1)
    wetread("resume")
    add_done(database, 2)
    assert wetread("drain", "--timeout", "0.1", "--json").json["to_send"] == 1
    with database.write() as connection:
        outage.begin(connection, "pacs", "no connection")
    assert wetread("drain", "--timeout", "0.1", "--json").json["drained"]


@pytest.mark.slow
def test_a_watched_queue_tells_each_change(wetread: CommandLine, database: Database) -> None:
    add_study(database)
    command = [sys.executable, "-m", "wetread", "jobs", "watch", "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["state"] == "queued"
        with database.write() as connection:
            jobs.cancel(connection, 1)
        changed = json.loads(watching.stdout.readline())
        assert (changed["state"], changed["reason"]) == ("cancelled", "cancelled by hand")
        watching.terminate()
        assert watching.wait(30) == 0
