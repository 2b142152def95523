"""The command line: what it prints, what it leaves with, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from pydicom.uid import EnhancedSRStorage

from db import dispatch, jobs, migrate, outbox, studies
from db.engine import Database
from db.jobs import ModelRef
from db.outbox import StoredResult
from db.retry import RetryPolicy
from db.studies import StoredInstance
from inference.package import find_packages
from scp.passcode import hashed, matches
from tests.auditschema import alert, event, messages, outcome
from tests.certificates import Authority
from tests.commandline import CommandLine
from tests.delivering import object_of
from tests.dicomfiles import PATIENT, as_file, image
from tests.mail import letters
from tests.tinygraph import Fault
from tests.tinymodel import write_package
from tests.webserver import WebServer
from tools.ports import free_port
from wetread.cli import main
from wetread.config import load
from wetread.roles import open_database

RETRY = RetryPolicy(attempts=1, first_seconds=0, longest_seconds=0)
MODEL = ModelRef("tiny", "1.0")


Wetread = CommandLine


@pytest.fixture
def wetread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> CommandLine:
    return CommandLine(monkeypatch, capsys, tmp_path)


@pytest.fixture
def database(wetread: Wetread) -> Database:
    """The database of a node with default settings."""
    return open_database(load())


def add_study(database: Database, number: int = 1) -> str:
    """Receive one image; returns the Study Instance UID."""
    study = f"1.2.{number}"
    instance = StoredInstance(
        sop_instance_uid=f"{study}.1", study_uid=study, series_uid="1.2.3", sop_class_uid="1.2.4",
        transfer_syntax_uid="1.2.840.10008.1.2.1", modality="DX", own=False, size=1,
        digest="0" * 64, path=f"archive/{study}.dcm", calling_ae="CONSOLE",
    )  # fmt: skip
    with database.write() as connection:
        studies.record(connection, instance, 3600)
        jobs.enqueue(connection, study, MODEL, [instance])
    return study


def claim(database: Database) -> jobs.Claim:
    with database.write() as connection:
        (claimed,) = dispatch.claim(connection, "w", [MODEL], 30)
    return claimed


def add_dead_job(database: Database, number: int = 1) -> str:
    study = add_study(database, number)
    work = claim(database)
    with database.write() as connection:
        jobs.fail(connection, work, "pixels cannot be decoded; see [models] and [/b]", None)
    return study


def add_done_job(database: Database, number: int = 1) -> jobs.Claim:
    add_study(database, number)
    work = claim(database)
    result = StoredResult(
        kind="sr", number=1, rank=0, style="", sop_class_uid="1.2.9", sop_instance_uid="2.25.9",
        path="results/x.dcm", size=7,
    )  # fmt: skip
    with database.write() as connection:
        jobs.finish(connection, work)
        outbox.post(connection, work.job_id, [result], letters("pacs", [result]))
    return work


JOB_KEYS = {
    "id", "study_uid", "model", "model_version", "state", "priority", "attempts", "undelivered",
    "reason",
    "created_at", "started_at", "finished_at",
}  # fmt: skip
STUDY_KEYS = {
    "study_uid", "state", "modalities", "instances", "purged", "lost", "first_received_at",
    "last_received_at", "due_at",
}  # fmt: skip


def test_jobs_list(wetread: Wetread, database: Database) -> None:
    add_dead_job(database, 1)
    add_study(database, 2)
    done = wetread("jobs", "list", "--json")
    assert (done.code, done.err) == (0, "")
    assert [(each["id"], each["state"]) for each in done.json] == [(2, "queued"), (1, "dead")]
    assert all(set(each) == JOB_KEYS for each in done.json)
    assert done.json[1]["finished_at"].endswith("+00:00")
    assert [each["id"] for each in wetread("jobs", "list", "--state", "dead", "--json").json] == [1]
    assert [each["id"] for each in wetread("jobs", "list", "--study", "1.2.2", "--json").json] == [
        2
    ]
    assert len(wetread("jobs", "list", "--limit", 1, "--json").json) == 1


def test_a_table_shows_reasons_as_they_are_on_one_line(
    wetread: Wetread, database: Database
) -> None:
    add_dead_job(database)
    lines = wetread("jobs", "list").out.splitlines()
    assert len(lines) == 2
    assert "pixels cannot be decoded; see [models] and [/b]" in lines[1]
    assert lines[0].split()[:2] == ["id", "state"]


def test_empty_lists(wetread: Wetread, database: Database) -> None:
    for kind in ("jobs", "studies"):
        assert wetread(kind, "list", "--json").json == []
        assert wetread(kind, "list").out == f"no {kind}\n"


def test_jobs_show(wetread: Wetread, database: Database) -> None:
    add_done_job(database)
    shown = wetread("jobs", "show", 1, "--json").json
    assert set(shown) == JOB_KEYS | {
        "answers",
        "batch",
        "timeline",
        "inputs",
        "results",
        "deliveries",
    }
    assert shown["inputs"] == ["1.2.1.1"]
    assert shown["results"][0]["path"] == "results/x.dcm"
    assert shown["deliveries"][0]["state"] == "pending"
    assert {"destination", "kind", "attempts", "reason", "sent_at"} <= set(shown["deliveries"][0])
    out = wetread("jobs", "show", 1).out
    assert "state" in out
    assert "pending" in out


def test_jobs_cancel_and_retry(wetread: Wetread, database: Database) -> None:
    add_study(database)
    assert wetread("jobs", "cancel", 1).out == "job 1 is cancelled\n"
    again = wetread("jobs", "cancel", 1)
    assert (again.code, again.out) == (1, "")
    assert again.err == "wetread: job 1 is cancelled and cannot become cancelled\n"
    assert wetread("jobs", "retry", 1, "--json").json["state"] == "queued"
    assert wetread("jobs", "retry", 1).code == 1
    assert wetread("jobs", "cancel", 1, "--json").json["reason"] == "cancelled by hand"


def test_jobs_retry_of_a_done_job_revives_its_deliveries(
    wetread: Wetread, database: Database
) -> None:
    add_done_job(database)
    nothing = wetread("jobs", "retry", 1)
    assert nothing.code == 1
    assert nothing.err == "wetread: job 1 is done and no delivery of it is dead, refused or held\n"
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "c", 30, 9, RETRY)
        outbox.refused(connection, parcel, "no SR class is accepted")
    shown = wetread("jobs", "retry", 1, "--json").json
    assert (shown["state"], shown["deliveries"][0]["state"]) == ("done", "pending")


def test_what_is_held_is_found_and_decided_on(wetread: Wetread, database: Database) -> None:
    add_done_job(database)
    assert wetread("jobs", "list", "--delivery", "held").out == "no jobs\n"
    nothing = wetread("jobs", "cancel", 1)
    assert nothing.err == "wetread: job 1 is done and no delivery of it is held\n"

    def hold() -> None:
        with database.write() as connection:
            (parcel,) = outbox.claim(connection, "pacs", "c", 30, 9, RETRY)
            outbox.hold(connection, parcel, "another patient ID", RETRY)

    hold()
    assert [
        each["id"] for each in wetread("jobs", "list", "--delivery", "held", "--json").json
    ] == [1]
    given_up = wetread("jobs", "cancel", 1, "--json").json
    assert (given_up["state"], given_up["deliveries"][0]["state"]) == ("done", "dead")
    assert given_up["deliveries"][0]["reason"] == "given up by hand: another patient ID"
    assert wetread("jobs", "retry", 1).code == 0
    hold()
    sent = wetread("jobs", "retry", 1, "--unchecked", "--json").json
    assert sent["deliveries"][0]["state"] == "pending"
    with database.write() as connection:
        (parcel,) = outbox.claim(connection, "pacs", "c", 30, 9, RETRY)
    assert parcel.unchecked
    told = [alert(each) for each in messages(Path("wetread-data/audit/audit.xml").read_text())]
    assert [each.partition(") ")[2] for each in told] == [
        "given up where it is held", "queued again", "queued again without the patient check",
    ]  # fmt: skip


def test_a_job_that_is_not_done_has_nothing_unchecked(wetread: Wetread, database: Database) -> None:
    add_study(database)
    wetread("jobs", "cancel", 1)
    refused = wetread("jobs", "retry", 1, "--unchecked")
    assert refused.err == "wetread: job 1 is cancelled: it has nothing to deliver unchecked yet\n"


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_an_unknown_job(wetread: Wetread, database: Database, command: str) -> None:
    done = wetread("jobs", command, 999, "--json")
    assert (done.code, done.out, done.err) == (4, "", "wetread: there is no job 999\n")


def test_studies(wetread: Wetread, database: Database) -> None:
    study = add_dead_job(database)
    (listed,) = wetread("studies", "list", "--json").json
    assert set(listed) == STUDY_KEYS
    assert (listed["study_uid"], listed["state"], listed["modalities"]) == (
        study,
        "waiting",
        ["DX"],
    )
    shown = wetread("studies", "show", study, "--json").json
    assert set(shown) == STUDY_KEYS | {"jobs", "timeline"}
    assert set(shown["jobs"][0]) == JOB_KEYS
    assert "pixels cannot be decoded" in wetread("studies", "show", study).out
    assert study in wetread("studies", "list").out
    unknown = wetread("studies", "show", "9.9.9")
    assert unknown.code == 4
    assert unknown.err == "wetread: no instance of study 9.9.9 was received\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs", "show", "abc"],
        ["jobs", "show"],
        ["jobs", "list", "--state", "sleeping"],
        ["jobs", "list", "--limit", "0"],
        ["jobs", "explode"],
        ["send", "file.dcm"],
        ["nonsense"],
        ["--nonsense"],
    ],
)
def test_wrong_usage(wetread: Wetread, arguments: list[str]) -> None:
    done = wetread(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Usage: wetread" in done.err


def test_help_and_version(wetread: Wetread) -> None:
    helped = wetread("--help")
    assert helped.code == 0
    for command in ("up", "receive", "work", "deliver", "echo", "send", "jobs", "studies"):
        assert command in helped.out
    assert "Exit codes" in helped.out
    assert wetread("--version").out.startswith("wetread ")


COMMANDS = [
    ["status"], ["jobs", "urgent", "1"], ["jobs", "watch"], ["studies", "route", "1"],
    ["logs"], ["pause"], ["resume"], ["drain"], ["deliveries", "list"],
    ["deliveries", "retry", "1"],
    ["up"], ["receive"], ["work"], ["deliver"], ["echo", "A@h:1"], ["send", "x", "--to", "A@h:1"],
    ["jobs", "list"], ["jobs", "show", "1"], ["jobs", "retry", "1"], ["jobs", "cancel", "1"],
    ["studies", "list"], ["studies", "show", "1"], ["models", "list"], ["models", "check"],
    ["models", "enable", "x"], ["models", "disable", "x"],
    ["models", "test", "x"], ["models", "install", "x"],
    ["models", "pause"], ["models", "resume"], ["config", "check"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_wrong_settings_alike(wetread: Wetread, command: list[str]) -> None:
    Path("wetread.toml").write_text("[node]\nport = 0\n", "utf-8")
    done = wetread(*command)
    assert (done.code, done.out) == (3, "")
    message = "node.port: Input should be greater than or equal to 1"
    assert done.err == f"wetread: wetread.toml: {message}\n"
    missing = wetread(*command, "-c", "missing.toml")
    assert missing.code == 3
    assert missing.err.startswith("wetread: missing.toml: no such file")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://nobody:hunter2@127.0.0.1:{port}/x", "the database does not answer"),
        ("sqlite:///taken/wetread.db", "there is no node here: no database "),
        ("sqlite:///{here}", "the database does not answer: unable to open database file"),
        ("sqlite:///garbage.db", "the database does not answer: file is not a database"),
    ],
)
def test_a_database_that_cannot_be_opened(
    wetread: Wetread, tmp_path: Path, url: str, message: str
) -> None:
    Path("taken").write_text("a file where a folder should be", "utf-8")
    Path("garbage.db").write_text("not a database " * 100, "utf-8")
    filled = url.format(port=free_port(), here=tmp_path)
    Path("wetread.toml").write_text(f'[database]\nurl = "{filled}"\n', "utf-8")
    done = wetread("jobs", "list", "--json")
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert "hunter2" not in done.err


@pytest.mark.parametrize(
    "command",
    [
        "status", "jobs list", "jobs show 1", "jobs retry 1", "jobs watch --times 1",
        "studies list", "deliveries list", "commitments list", "models pause cxr-covid",
        "models enable cxr-covid", "pause", "resume", "drain", "storage show", "storage purge",
        "health work",
    ],
)  # fmt: skip
def test_a_command_in_the_wrong_folder_makes_no_node(wetread: Wetread, command: str) -> None:
    done = wetread(*command.split())
    assert (done.code, done.out) == (1, "")
    database = Path.cwd() / "wetread-data" / "wetread.db"
    assert done.err == (
        f"wetread: there is no node here: no database {database}; 'wetread up' makes it, or name "
        "the settings of another node with -c or $WETREAD_CONFIG\n"
    )
    assert not list(Path.cwd().iterdir())


def test_a_database_without_tables_is_left_alone(wetread: Wetread) -> None:
    file = Path("wetread-data/wetread.db")
    file.parent.mkdir()
    file.touch()
    done = wetread("status")
    assert done.code == 1
    assert done.err.startswith("wetread: the database is empty: 'wetread up' fills it, or name ")


def test_a_command_does_not_upgrade_the_database_of_roles_that_run(
    wetread: Wetread, tmp_path: Path
) -> None:
    older = Database(load().database.url)
    migrate.upgrade(older, "0007")
    for command in (["status"], ["jobs", "list"], ["users", "list"], ["pause"]):
        done = wetread(*command)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("wetread: the database has schema 0007, this version needs ")
        assert "use the version that its roles run, or start them with this one" in done.err
    with older.read() as connection:
        assert migrate.revision(connection) == "0007"


def test_a_database_of_a_newer_version_is_refused(wetread: Wetread, database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    done = wetread("jobs", "list")
    assert done.code == 1
    assert "the database has schema 9999, which this version does not know" in done.err


def test_config_init_writes_what_check_accepts(wetread: Wetread) -> None:
    assert wetread("config", "init").out == "wrote wetread.toml\n"
    again = wetread("config", "init")
    assert (again.code, again.err) == (1, "wetread: wetread.toml exists and is left as it is\n")
    assert wetread("config", "init", "no/such/folder.toml").code == 1
    assert wetread("config", "init", "-c", "other.toml").out == "wrote other.toml\n"
    checked = wetread("config", "check")
    assert checked.code == 0
    assert "wetread.toml: ok" in checked.out
    assert "results to pacs: ORTHANC@127.0.0.1:4242" in checked.out
    assert wetread("config", "check", "--json").json["node"]["port"] == 11112


def test_config_check_without_a_file(wetread: Wetread, tmp_path: Path) -> None:
    out = wetread("config", "check").out
    assert "no settings file; defaults: ok" in out
    assert f"data in {tmp_path / 'wetread-data'}" in out
    assert "results go nowhere" in out
    assert not (tmp_path / "wetread-data").exists()


def test_config_check_warns_where_everyone_may_send(wetread: Wetread) -> None:
    open_to_all = wetread("config", "check")
    assert open_to_all.code == 0
    assert "no [[peer]] is listed: everyone who calls WETREAD may send" in open_to_all.err
    Path("wetread.toml").write_text('[[peer]]\nname = "ct1"\nae_title = "CT1"\n', "utf-8")
    closed = wetread("config", "check")
    assert closed.err == ""
    assert "takes from ct1: CT1" in closed.out
    with Path("wetread.toml").open("a") as file:
        file.write(f'user = "u"\npasscode_hash = "{hashed(b"x")}"\n')
    assert "peer ct1: its passcode can come by the plain port" in wetread("config", "check").err


def test_config_check_says_where_the_audit_trail_goes(wetread: Wetread, tmp_path: Path) -> None:
    file = tmp_path / "wetread-data" / "audit" / "audit.xml"
    assert f"audit trail to {file}\n" in wetread("config", "check").out
    Path("wetread.toml").write_text('[audit]\nfile = ""\nsyslog_host = "arr"\n', "utf-8")
    assert "audit trail to arr:6514 (TLS)\n" in wetread("config", "check").out
    Path("wetread.toml").write_text('[audit]\nfile = ""\n', "utf-8")
    assert "no audit trail is kept" in wetread("config", "check").err
    ca = '[audit]\nsyslog_host = "arr"\nca = "none.pem"\n'
    Path("wetread.toml").write_text(ca, "utf-8")
    assert "none.pem: cannot be read" in wetread("config", "check").err


def test_what_is_done_by_hand_is_audited_or_not_done(wetread: Wetread, database: Database) -> None:
    study = add_study(database)
    audit = Path("wetread-data/audit")
    audit.write_text("a file where the folder should be")
    refused = wetread("jobs", "cancel", 1)
    assert (refused.code, refused.out) == (3, "")
    assert "audit.file: " in refused.err
    assert wetread("jobs", "list", "--json").json[0]["state"] == "queued"
    audit.unlink()
    assert wetread("jobs", "cancel", 1, "--json").json["state"] == "cancelled"
    assert wetread("jobs", "cancel", 1).code == 1  # nothing done, nothing told
    (message,) = messages((audit / "audit.xml").read_text("utf-8"))
    assert (event(message), outcome(message)) == ("Use of Restricted Function", "0")
    assert alert(message) == "job 1 (tiny) cancelled"
    assert [each.get("UID") for each in message.iter("StudyIDs")] == [study]
    person = message.findall("ActiveParticipant")[0]
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    assert str(person.get("UserID")).startswith(f"{user}@")


def test_config_check_judges_the_secret_of_a_dicomweb_destination(wetread: Wetread) -> None:
    secret, section = Path("secret"), '[[destination]]\nname = "web"\nsecret_file = "secret"\n'
    Path("wetread.toml").write_text(section + 'url = "http://pacs/dicom-web/"\n', "utf-8")
    missing = wetread("config", "check")
    assert (missing.code, missing.out) == (3, "")
    assert missing.err.endswith(f"{secret.resolve()}: cannot be read: No such file or directory\n")
    secret.write_text("open sesame")
    secret.chmod(0o644)
    done = wetread("config", "check")
    assert done.code == 0
    assert "results to web: http://pacs/dicom-web\n" in done.out
    assert f"{secret.resolve()}: every user of this machine may read this secret" in done.err
    assert "destination web: others can read its secret on the way (http)" in done.err
    secret.chmod(0o600)
    Path("wetread.toml").write_text(section + 'url = "https://pacs/dicom-web"\n', "utf-8")
    done = wetread("config", "check")
    assert "secret" not in done.err
    assert "sesame" not in done.out + done.err + wetread("config", "check", "--json").out


def test_a_dicomweb_destination_is_verified_and_sent_to(wetread: Wetread, tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    object_of(EnhancedSRStorage, "2.25.1").save_as(file, enforce_file_format=True)
    with WebServer() as server:
        url = f'[[destination]]\nname = "web"\nurl = "{server.url}"\n'
        Path("wetread.toml").write_text(url, "utf-8")
        echo = wetread("echo", "web", "--json")
        assert (echo.code, echo.json["peer"], echo.json["ok"]) == (0, server.url, True)
        sent = wetread("send", file, "--to", "web", "--json")
        assert (sent.code, sent.json[0]["status"]) == (0, "0000")
        assert server.files == [file.read_bytes()]
        open_database(load())
        assert "web: ok" in wetread("status").out
    for command in (["echo", "web"], ["send", file, "--to", "web"]):
        away = wetread(*command)
        assert (away.code, away.err) == (1, f"wetread: {server.url}: no connection\n")


def test_config_check_judges_certificates(wetread: Wetread, tmp_path: Path) -> None:
    if not Authority.installed():
        pytest.skip("openssl is not installed: apt-get install openssl")
    pair = Authority(tmp_path).issue("node", days=5)
    Path(pair.key).chmod(0o644)
    section = f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
    Path("wetread.toml").write_text(section, "utf-8")
    done = wetread("config", "check")
    assert done.code == 0
    assert "listens as WETREAD on 0.0.0.0:2762 (TLS)" in done.out
    assert "11112" not in done.out
    assert "every user of this machine may read this private key" in done.err
    assert f"{pair.certificate}: expires on " in done.err
    Path("wetread.toml").write_text(section + "require = false\n", "utf-8")
    assert "listens as WETREAD on 0.0.0.0:11112\n" in wetread("config", "check").out
    Path(pair.key).unlink()
    broken = wetread("config", "check")
    assert (broken.code, broken.out) == (3, "")
    assert broken.err == f"wetread: {pair.key}: cannot be read: No such file or directory\n"


def test_config_passcode_prints_a_hash_and_not_the_passcode(
    wetread: Wetread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("open sesame\n"))
    done = wetread("config", "passcode")
    assert matches(b"open sesame", done.out.strip())
    assert "sesame" not in done.out + done.err
    monkeypatch.setattr("sys.stdin", StringIO("\n"))
    assert wetread("config", "passcode").code == 1


def test_models_list(wetread: Wetread, tmp_path: Path) -> None:
    write_package(tmp_path / "models")
    Path("wetread.toml").write_text('[models]\nfolders = ["models"]\n', "utf-8")
    listed = wetread("models", "list", "--json").json
    assert [each["name"] for each in listed] == [
        each.name for each in find_packages([tmp_path / "models"])
    ]
    assert set(listed[-1]) == {
        "name", "version", "title", "modality", "body_part", "view", "folder"
    }  # fmt: skip
    assert "Brightness screening" in wetread("models", "list").out
    write_package(tmp_path / "models", folder="twin")
    refused = wetread("models", "list")
    assert refused.code == 3
    assert "model 'tiny' is also in" in refused.err


def test_a_model_is_paused_and_resumed(
    wetread: Wetread, database: Database, tmp_path: Path
) -> None:
    write_package(tmp_path / "models")
    Path("wetread.toml").write_text('[models]\nfolders = ["models"]\n', "utf-8")
    assert wetread("models", "pause", "tiny", "--reason", "new version").code == 0
    (paused,) = wetread("status", "--json").json["paused"]
    assert (paused["name"], paused["reason"]) == ("tiny", "new version")
    assert "tiny since" in wetread("status").out
    assert wetread("models", "pause", "--json").json[0]["name"] == "*"
    assert "all models since" in wetread("status").out
    assert [each["name"] for each in wetread("models", "resume", "--json").json] == ["tiny"]
    assert "nothing is paused" in wetread("models", "resume", "tiny").out
    unknown = wetread("models", "pause", "none-such")
    assert unknown.code != 0
    assert "there is no model none-such; there are" in unknown.err
    again = wetread("models", "resume", "tiny")
    assert again.code != 0
    assert "model tiny is not paused" in again.err


def test_models_check(wetread: Wetread, tmp_path: Path) -> None:
    sound = write_package(tmp_path / "a")
    broken = write_package(tmp_path / "b", fault=Fault.NAN)
    fine = wetread("models", "check", sound, "--json")
    assert fine.code == 0
    (row,) = fine.json
    assert (row["ok"], row["name"], row["problem"]) == (True, "tiny", None)
    both = wetread("models", "check", sound, broken, tmp_path / "missing", "--json")
    assert both.code == 3
    assert [each["ok"] for each in both.json] == [True, False, False]
    assert "not finite" in both.json[1]["problem"]
    assert "cannot be read" in both.json[2]["problem"]
    assert all(set(each) == set(row) for each in both.json)
    assert "not finite" in wetread("models", "check", broken).out


def test_a_worker_with_an_unusable_package_says_so(wetread: Wetread, tmp_path: Path) -> None:
    write_package(tmp_path / "models", ("batch = 2", "batch = 0"))
    Path("wetread.toml").write_text('[models]\nfolders = ["models"]\n', "utf-8")
    for command in (["models", "list"], ["models", "check"], ["models", "pause", "tiny"]):
        done = wetread(*command)
        assert (done.code, done.out) == (3, "")
        assert "model.toml: runtime.batch: Input should be greater" in done.err


def test_nothing_listens(wetread: Wetread, tmp_path: Path) -> None:
    peer = f"PACS@127.0.0.1:{free_port()}"
    echo = wetread("echo", peer, "--json")
    assert echo.code == 1
    assert echo.json["peer"] == peer
    assert (echo.json["ok"], echo.json["reason"]) == (False, f"{peer}: no connection")
    assert echo.err == f"wetread: {peer}: no connection\n"
    (tmp_path / "image.dcm").write_bytes(as_file(image()))
    sent = wetread("send", "image.dcm", "--to", peer)
    assert (sent.code, sent.out, sent.err) == (1, "", f"wetread: {peer}: no connection\n")


def test_sending_what_is_no_image(wetread: Wetread, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(PATIENT, "utf-8")
    sent = wetread("send", "notes.txt", "missing.dcm", "--to", "PACS@127.0.0.1:1", "--json")
    assert sent.code == 1
    assert [each["ok"] for each in sent.json] == [False, False]
    assert [set(each) for each in sent.json] == [
        {"path", "sop_instance_uid", "ok", "status", "reason"}
    ] * 2
    assert sent.json[1]["reason"] == "cannot be read: No such file or directory"
    assert PATIENT not in sent.out + sent.err
    (tmp_path / "empty").mkdir()
    nothing = wetread("send", "empty", "--to", "PACS@127.0.0.1:1")
    assert (nothing.code, nothing.out) == (1, "no files\n")


@pytest.mark.parametrize("command", [["echo", "nowhere"], ["send", "x", "--to", "nowhere"]])
def test_an_unknown_destination(wetread: Wetread, command: list[str]) -> None:
    done = wetread(*command)
    assert (done.code, done.out) == (3, "")
    assert "'nowhere' is neither a destination (none configured) nor AET@host:port" in done.err


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WETREAD_")}
    environment["PYTHONPATH"] = str(Path(main.__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-m", "wetread", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip


@pytest.mark.slow
def test_a_process_of_its_own_says_the_same(tmp_path: Path) -> None:
    assert run(tmp_path, "users", "list").returncode == 0  # it makes the database
    listed = run(tmp_path, "jobs", "list", "--json")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "[]\n", "")
    unknown = run(tmp_path, "jobs", "show", "5")
    assert (unknown.returncode, unknown.stdout) == (4, "")
    assert unknown.stderr == "wetread: there is no job 5\n"


@pytest.mark.slow
def test_the_command_line_loads_only_what_a_command_needs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, atexit, wetread.cli.main\n"
        "slow = {'onnxruntime', 'highdicom', 'numpy', 'alembic', 'sqlalchemy', 'pydantic'}\n"
        "atexit.register(lambda: print('loaded', sorted(slow & set(sys.modules))))\n"
        "wetread.cli.main.run()\n",
        "utf-8",
    )
    environment = os.environ | {"PYTHONPATH": str(Path(main.__file__).parents[2])}
    for command, loaded in (
        (["--help"], []),
        (["--version"], []),
        (["users", "list"], ["alembic", "pydantic", "sqlalchemy"]),  # it makes the database
        (["status"], ["pydantic", "sqlalchemy"]),
    ):
        done = subprocess.run(
            [sys.executable, str(script), *command],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"loaded {loaded}", command


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("wetread st", ["status", "studies", "storage"]),
        ("wetread jobs ", ["list", "show", "watch", "urgent", "retry", "cancel"]),
        ("wetread jobs list --state d", ["done", "dead"]),
    ],
)
def test_the_shell_completes(
    wetread: Wetread, monkeypatch: pytest.MonkeyPatch, typed: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_WETREAD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    assert sorted(wetread().out.split()) == sorted(offered)


def test_config_check_hides_the_password(wetread: Wetread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WETREAD_DATABASE__URL", "postgresql+psycopg://me:secret@db/wetread")
    shown = wetread("config", "check", "--json")
    assert shown.json["database"]["url"] == "postgresql+psycopg://me:***@db/wetread"
    assert "secret" not in shown.out
