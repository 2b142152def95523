"""What ``wetread doctor`` finds on its own host: files, disks, database, models; and its frame."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update

from db import migrate, processes
from db.engine import Database
from db.processes import Running
from db.schema import Job, Process
from tests.certificates import Authority
from tests.db.test_jobs import arrive, claimed, instance, queue
from tests.disk import Disk
from tests.doctoring import failures, fault, let_time_pass, look, of, settings, worries
from tests.tinymodel import write_package
from wetread.config import load
from wetread.doctor.checks import CHECKS
from wetread.doctor.examination import Check, UnknownCheck, chosen, examine
from wetread.doctor.finding import Finding, Verdict, failed, ok
from wetread.doctor.storage import file_system
from wetread.doctor.surroundings import Surroundings
from wetread.roles import owner
from wetread.version import VERSION

ROOT = Path(__file__).parents[2]
ONLY_TINY = '[models]\nfolders = ["models"]\ndisabled = ["cxr-covid", "head-ct-triage"]\n'


def at(database: Database) -> str:
    """The settings of a node with this database."""
    url = database.engine.url.render_as_string(hide_password=False)
    return f'[database]\nurl = "{url}"\n'


def beat(database: Database, role: str, **details: object) -> None:
    running = Running(owner=owner(role), role=role, host="here", pid=7, version=VERSION)
    with database.write() as connection:
        processes.beat(connection, running, details)


# --- settings and files


def test_a_settings_file_that_everybody_may_read(tmp_path: Path) -> None:
    file = settings(tmp_path)
    file.chmod(0o644)
    (found, *_) = worries(look(file, "settings"), "settings")
    assert found.found == (
        f"{file}: every user of this machine may read it, and it may hold a password"
    )
    assert found.remedy == f"chmod o-r {file}"


def test_variables_over_the_file_are_named_without_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETREAD_DATABASE__URL", "postgresql+psycopg://me:secret@host/name")
    shown = [each.found for each in of(look(settings(tmp_path), "settings"), "settings")]
    assert "goes over the file: WETREAD_DATABASE__URL" in shown
    assert "secret" not in str(shown)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not Authority.installed():
        pytest.skip("openssl is not installed: apt-get install openssl")
    return Authority(tmp_path_factory.mktemp("ca"))


TLS = '[tls]\ncertificate = "{}"\nkey = "{}"\n'


def test_an_expired_certificate(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("node", days=-1)
    file = settings(tmp_path, TLS.format(pair.certificate, pair.key))
    found, remedy = fault(look(file, "files"))
    assert found.startswith(f"{pair.certificate}: expired on 2")
    assert "put a valid file there" in remedy


def test_a_key_of_another_certificate(tmp_path: Path, authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    file = settings(tmp_path, TLS.format(one.certificate, other.key))
    found, remedy = fault(look(file, "files"))
    assert found == f"{other.key}: is not the private key of {one.certificate}"
    assert "belong together" in remedy


def test_a_certificate_that_runs_out_and_a_key_that_everybody_may_read(
    tmp_path: Path, authority: Authority
) -> None:
    pair = authority.issue("short", days=5)
    Path(pair.key).chmod(0o644)
    file = settings(tmp_path, TLS.format(pair.certificate, pair.key))
    key, end = worries(look(file, "files"), "files")
    assert key.found == f"{pair.key}: every user of this machine may read this private key"
    assert key.remedy.startswith(f"chmod 600 {pair.key}")
    assert re.search(r"valid until \d{4}-\d\d-\d\d, 4 days$", end.found)
    assert "new certificate" in end.remedy


def test_a_secret_that_everybody_may_read_and_one_that_is_missing(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("wordless", "utf-8")
    secret.chmod(0o644)
    web = '[[destination]]\nname = "web"\nurl = "https://h/w"\nsecret_file = "token"\n'
    (found,) = worries(look(settings(tmp_path, web), "files"), "files")
    assert found.remedy == f"chmod 600 {secret}"
    assert "wordless" not in found.found
    secret.unlink()
    shown, _ = fault(look(settings(tmp_path, web), "files"))
    assert shown == f"{secret}: No such file or directory"


# --- database


def test_a_database_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    examined = look(settings(tmp_path), "roles")
    found, remedy = fault(examined)
    assert found.endswith("wetread.db: there is none yet")
    assert "wetread up" in remedy
    assert [each.check.name for each in examined] == ["database", "schema", "roles"]
    shown, _ = fault(look(settings(tmp_path), "archive", "space"))
    assert shown.endswith("wetread-data: there is none")
    assert [each.finding.verdict for each in examined[1:]] == [Verdict.SKIPPED, Verdict.SKIPPED]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["wetread.toml"]


def test_a_server_that_is_away(tmp_path: Path) -> None:
    url = '[database]\nurl = "postgresql+psycopg://me:secret@127.0.0.1:1/wetread"\n'
    found, remedy = fault(look(settings(tmp_path, url), "database"))
    assert found == "PostgreSQL does not answer (OperationalError)"
    assert "[database] url" in remedy


def test_the_schema_of_an_older_version(tmp_path: Path, database: Database) -> None:
    *_, older, current = migrate.revisions()
    set_schema(database, older)
    found, remedy = fault(look(settings(tmp_path, at(database)), "roles"))
    assert found == f"the database has schema {older}, this version needs {current}"
    assert "back the database up" in remedy
    with database.read() as connection:  # looking has not upgraded it
        assert connection.execute(text("select version_num from alembic_version")).all() == [
            (older,)
        ]


def test_the_schema_of_a_newer_version(tmp_path: Path, database: Database) -> None:
    set_schema(database, "9999")
    found, remedy = fault(look(settings(tmp_path, at(database)), "schema"))
    assert found == "the database has schema 9999, which this version does not know"
    assert "run the newer version" in remedy


def set_schema(database: Database, revision: str) -> None:
    with database.write() as connection:
        connection.execute(text(f"update alembic_version set version_num = '{revision}'"))


def test_a_host_whose_clock_is_wrong(
    tmp_path: Path, server_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, right = settings(tmp_path, at(server_database)), time.time
    assert failures(look(file, "clock")) == []
    monkeypatch.setattr(time, "time", lambda: right() + 3600)
    found, remedy = fault(look(file, "clock"))
    assert re.match(r"3(600|599)\.\d+ s ahead of the database's clock", found)
    assert "NTP" in remedy


def test_a_process_on_a_host_whose_clock_is_wrong(tmp_path: Path, database: Database) -> None:
    beat(database, "work", clock_offset=-90.0)
    beat(database, "receive", clock_offset=0.002)
    examined = look(settings(tmp_path, at(database)), "clock")
    (found,) = failures(examined)
    assert found.subject == "work on here, pid 7"
    assert found.found.startswith("90.000 s behind the database's clock")
    assert of(examined, "clock")[-1].found.startswith("1 of 2 that run agree")


def test_a_clock_that_was_set_back(tmp_path: Path, sqlite_database: Database) -> None:
    arrive(sqlite_database, instance())
    with sqlite_database.write() as connection:
        connection.execute(text("update instance set received_at = received_at + 500"))
    found, _ = fault(look(settings(tmp_path, at(sqlite_database)), "clock"))
    assert "in the future: the clock was set back since" in found


# --- data folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    with Disk(tmp_path, "ext4", 30) as made:
        yield made


def test_a_full_disk(disk: Disk, tmp_path: Path, sqlite_database: Database) -> None:
    file = settings(tmp_path, at(sqlite_database), data_dir=str(disk.root), free_megabytes=1)
    assert failures(look(file, "archive", "space", "speed")) == []
    disk.fill()
    examined = look(file, "archive", "space", "speed")
    folder, space = failures(examined)
    assert folder.found == f"{disk.root}: cannot be written: No space left on device"
    assert "make room" in folder.remedy
    assert space.found.endswith("images are refused below 1 MB: they are refused now")
    assert "[storage] remove what is old" in space.remedy
    assert {each.verdict for each in of(examined, "speed")} == {Verdict.SKIPPED}


def test_a_disk_that_lasts_for_hours(tmp_path: Path, disk: Disk, sqlite_database: Database) -> None:
    arrive(sqlite_database, instance())
    with sqlite_database.write() as connection:
        connection.execute(text("update instance set size = 1000000"))
    file = settings(tmp_path, at(sqlite_database), data_dir=str(disk.root), free_megabytes=1)
    (found,) = worries(look(file, "time-left"), "time-left")
    assert re.fullmatch(r"\d+\.\d hours at this rate", found.found)
    assert "larger disk" in found.remedy


def test_a_disk_that_is_mounted_for_reading(disk: Disk, tmp_path: Path) -> None:
    file = settings(tmp_path, data_dir=str(disk.root))
    subprocess.run(["mount", "-o", "remount,ro", str(disk.root)], check=True)
    for check in ("archive", "audit"):
        found, remedy = fault(look(file, check))
        assert str(disk.root) in found
        assert "mount its disk for writing" in remedy


def test_nothing_is_left_in_the_data_folder(tmp_path: Path, sqlite_database: Database) -> None:
    data = tmp_path / "data"
    data.mkdir()
    file = settings(tmp_path, at(sqlite_database), data_dir="data")
    (speed,) = of(look(file, "speed"), "speed")
    shown = re.fullmatch(
        r"writes (\d+) MB/s, confirms (\d+) times a second \(fsync\).*", speed.found
    )
    assert shown is not None
    assert list(data.iterdir()) == []


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /data rw - nfs4 server:/data rw
24 23 0:6 / /data/fast\\040disk rw - xfs /dev/sdb1 rw
25 22 0:7 / /run rw shared:2 master:1 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/wetread", "ext4"),
        ("/data/wetread", "nfs4"),
        ("/data/fast disk/wetread", "xfs"),
        ("/run/wetread", "tmpfs"),
        ("/database", "ext4"),
    ],
)
def test_on_which_file_system_a_folder_lies(folder: str, kind: str) -> None:
    assert file_system(Path(folder), MOUNTS) == kind


def test_a_data_folder_in_memory(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if file_system(shared, Path("/proc/self/mountinfo").read_text("utf-8")) != "tmpfs":
        pytest.skip("no /dev/shm here")
    found = worries(look(settings(tmp_path, data_dir=str(shared)), "archive"), "archive")
    assert "tmpfs: it lies in memory, and is gone with it" in {each.found for each in found}


# --- processes


def test_what_the_dead_hold(tmp_path: Path, database: Database) -> None:
    queue(database)
    claimed(database, owner("work"))  # not the same name, but of the same process
    for role in ("receive", "work", "web"):
        beat(database, role)
    file = settings(tmp_path, at(database))
    assert failures(look(file, "queue", "roles")) == []
    let_time_pass(database, "work", 60.0)
    (held,) = worries(look(file, "queue"), "queue")
    assert held.found == "1 jobs are held by processes that have fallen silent"
    with database.write() as connection:
        connection.execute(update(Job).values(lease_until=Job.lease_until - 60.0))
    lost, left = failures(look(file, "queue", "roles"))
    assert lost.found.startswith("none runs: nothing is read (here, pid 7, has been silent for ")
    assert left.found.startswith("1 jobs were left by processes that are gone")
    assert "start a process of the role 'work'" in left.remedy


def test_versions_that_differ(tmp_path: Path, database: Database) -> None:
    for role in ("receive", "work", "web"):
        beat(database, role)
    with database.write() as connection:
        connection.execute(update(Process).where(Process.role == "work").values(version="0.0.9"))
    (found,) = worries(look(settings(tmp_path, at(database)), "roles"), "roles")
    assert found.found.startswith("0.0.9, ")
    assert "install one version everywhere" in found.remedy


# --- models


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "models")


def test_a_model_that_can_be_read(tmp_path: Path, package: Path) -> None:
    (found,) = of(look(settings(tmp_path, ONLY_TINY), "models"), "models")
    assert found.verdict is Verdict.OK
    assert found.found.startswith("1.0: hash as the manifest says; loaded and run once in ")


def test_an_installed_model_is_looked_at_wherever_workers_find_it(tmp_path: Path) -> None:
    write_package(tmp_path / "wetread-data" / "models")
    none_else = ONLY_TINY.replace('folders = ["models"]', "folders = []")
    (found,) = of(look(settings(tmp_path, none_else), "models"), "models")
    assert (found.subject, found.verdict) == ("tiny", Verdict.OK)


def test_a_missing_model(tmp_path: Path, package: Path) -> None:
    (package / "model.onnx").unlink()
    found, remedy = fault(look(settings(tmp_path, ONLY_TINY), "models"))
    assert found == f"{package}: model.onnx is missing"
    assert "install the package again" in remedy


def test_a_model_whose_hash_has_changed(tmp_path: Path, package: Path) -> None:
    with (package / "model.onnx").open("ab") as file:
        file.write(b"\0")
    found, remedy = fault(look(settings(tmp_path, ONLY_TINY), "models"))
    assert f"{package / 'model.onnx'}: SHA-256 is " in found
    assert "install the package again" in remedy


def test_a_models_folder_that_is_missing(tmp_path: Path, package: Path) -> None:
    shutil.rmtree(package.parent)
    found, remedy = fault(look(settings(tmp_path, ONLY_TINY), "models"))
    assert found.endswith("models: no such folder; see [models] folders")
    assert "no worker starts" in remedy


def test_every_decoder_is_installed(tmp_path: Path) -> None:
    (found,) = of(look(settings(tmp_path), "pixels"), "pixels")
    assert found.verdict is Verdict.OK


# --- the frame


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(settings=load(settings(tmp_path)))


def check(name: str, look: object, needs: tuple[str, ...] = (), seconds: float = 20.0) -> Check:
    given: dict[str, object] = {"look": look, "needs": needs, "seconds": seconds}
    return Check(name=name, area="Test", looks_at="nothing", **given)  # type: ignore[arg-type]


def test_a_check_that_breaks_is_a_finding(around: Surroundings) -> None:
    def breaks(_around: Surroundings) -> Iterator[Finding]:
        yield ok("one", "fine")
        raise ValueError("DOE^JANE")

    one, broken = (each.finding for each in examine([check("weather", breaks)], around))
    assert one.verdict is Verdict.OK
    assert broken.verdict is Verdict.FAILED
    assert broken.found.startswith("the check itself broke: ValueError in test_doctor.py:")
    assert "DOE" not in broken.found


def test_a_check_that_hangs_is_a_finding(around: Surroundings) -> None:
    released = threading.Event()

    def hangs(_around: Surroundings) -> Iterator[Finding]:
        yield ok("one", "fine")
        released.wait(30)

    one, hung = (each.finding for each in examine([check("w", hangs, seconds=0.3)], around))
    released.set()
    assert one.verdict is Verdict.OK
    assert hung.found == "no answer within 0.3 s"


def test_what_needs_a_check_that_failed_is_skipped(around: Surroundings) -> None:
    checks = [
        check("first", lambda _: [failed("first", "away", "mend it")]),
        check("second", lambda _: [ok("second", "fine")], needs=("first",)),
        check("third", lambda _: [ok("third", "fine")], needs=("second",)),
        check("fourth", lambda _: [ok("fourth", "fine")]),
    ]
    found = [(each.check.name, each.finding.verdict) for each in examine(checks, around)]
    assert found == [
        ("first", "failed"), ("second", "skipped"), ("third", "skipped"), ("fourth", "ok")
    ]  # fmt: skip


def test_which_checks_run() -> None:
    def names(only: list[str], skip: list[str]) -> list[str]:
        return [each.name for each in chosen(CHECKS, only, skip)]

    assert names([], []) == [each.name for each in CHECKS]
    assert names(["queue"], []) == ["database", "schema", "queue"]
    assert names(["queue"], ["schema"]) == ["database", "queue"]
    with pytest.raises(UnknownCheck, match="no check 'weather'; there are settings"):
        names(["weather"], [])


def test_each_check_stands_behind_those_that_it_needs() -> None:
    seen: set[str] = set()
    for each in CHECKS:
        assert set(each.needs) <= seen, each.name
        seen.add(each.name)


def test_the_checks_are_listed_in_the_document() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text("utf-8")
    listed = re.findall(r"^\| (\w[\w ]*) \| `([a-z-]+)` \| (.*) \|$", page, re.MULTILINE)
    assert listed == [(each.area, each.name, each.looks_at) for each in CHECKS]
