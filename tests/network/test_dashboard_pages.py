"""What the dashboard shows, and what may be done there."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image
from sqlalchemy import select

from db import holds, identities, jobs, outbox, processes, stats, studies
from db.engine import Database
from db.identities import Person
from db.jobs import ModelRef
from db.processes import Running
from db.schema import Instance, JobState
from tests.dashboards import ADMIN, VIEWER, Dashboard, running
from tests.dicomfiles import STUDY, as_file, colour, image
from tests.worknode import TWICE, read_all
from wetread.web.wording import NONE

SCRIPT = "<script>alert(1)</script>"
OTHER = "1.2.826.0.1.99"
PAGES = ["/", "/studies", "/jobs", "/deliveries", "/destinations", "/models", "/system"]


@pytest.fixture
def dashboard(database: Database, tmp_path: Path) -> Iterator[Dashboard]:
    """On each kind of database."""
    with running(tmp_path, database) as started:
        yield started


@pytest.fixture
def light(sqlite_database: Database, tmp_path: Path) -> Iterator[Dashboard]:
    """Where the database makes no difference."""
    with running(tmp_path, sqlite_database) as started:
        yield started


def read_one(dashboard: Dashboard, name: str = "DOE^JANE") -> int:
    """Receive a study and read it; the job."""
    dashboard.node.receive(image(PatientName=name, PatientID="P-1", AccessionNumber="A-7"))
    read_all(dashboard.node.worker())
    (job,) = dashboard.node.jobs()
    return int(job["id"])


def queue_one(dashboard: Dashboard) -> int:
    """A job that waits for a model that nobody has."""
    dashboard.node.receive(image())
    with dashboard.database.write() as connection:
        images = studies.instances(connection, STUDY)
        job_id = jobs.enqueue(connection, STUDY, ModelRef("absent", "1"), images)
    assert job_id is not None
    return job_id


def _uids(dashboard: Dashboard) -> list[str]:
    with dashboard.database.read() as connection:
        return list(connection.execute(select(Instance.sop_instance_uid)).scalars())


def state_of(dashboard: Dashboard, job_id: int) -> str:
    with dashboard.database.read() as connection:
        return str(stats.job(connection, job_id)["state"])


@pytest.mark.parametrize("name", [ADMIN, VIEWER])
def test_every_page_is_there_before_anything_came(dashboard: Dashboard, name: str) -> None:
    visitor = dashboard.visitor(name)
    for path in PAGES:
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        assert "AI here screens; the physician decides." in answer.text
    assert visitor.get("/audit").status_code == (200 if name == ADMIN else 403)


def test_every_page_is_there_after_a_study_was_read(dashboard: Dashboard) -> None:
    job_id = read_one(dashboard)
    visitor = dashboard.visitor(ADMIN)
    for path in [*PAGES, f"/jobs/{job_id}", f"/studies/{STUDY}", "/audit"]:
        assert visitor.get(path).status_code == 200, path
    study = visitor.get(f"/studies/{STUDY}").text
    for shown in (
        "DOE, JANE",
        "P-1",
        "A-7",
        "job done",
        "first image received",
        "result to be sent",
    ):
        assert shown in study


def test_a_study_is_found_by_patient_accession_and_name(dashboard: Dashboard) -> None:
    read_one(dashboard, "M\u00fcller^J\u00f6rg")
    visitor = dashboard.visitor(VIEWER)
    for words in ("P-1", "A-7", "mull", "MULLER^J", "muller jorg"):
        found = visitor.post("/studies", {"csrf": visitor.csrf("/studies"), "words": words})
        assert "1 study found" in found.text, words
        assert "M\u00fcller, J\u00f6rg" in found.text
    none = visitor.post("/studies", {"csrf": visitor.csrf("/studies"), "words": "nobody"})
    assert "0 studies found" in none.text
    assert visitor.post("/studies", {"words": "P-1"}).status_code == 403


def test_what_a_file_says_stays_text(dashboard: Dashboard) -> None:
    read_one(dashboard, SCRIPT)
    with dashboard.database.write() as connection:
        fields = dict.fromkeys(Person.__dataclass_fields__, SCRIPT)
        identities.record(connection, STUDY, Person(**fields))
        holds.pause(connection, "absent", SCRIPT)
    visitor = dashboard.visitor(ADMIN)
    for path in ("/studies", f"/studies/{STUDY}", "/models", "/"):
        page = visitor.get(path).text
        assert SCRIPT not in page, path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page, path
    found = visitor.post("/studies", {"csrf": visitor.csrf("/studies"), "words": SCRIPT})
    assert SCRIPT not in found.text
    assert "1 study found" in found.text


def test_a_failed_job_is_retried_by_an_admin(dashboard: Dashboard) -> None:
    job_id = queue_one(dashboard)
    with dashboard.database.write() as connection:
        jobs.cancel(connection, job_id)
    visitor = dashboard.visitor(ADMIN)
    assert f"/jobs/{job_id}/retry" in visitor.get(f"/jobs/{job_id}").text
    assert visitor.submit(f"/jobs/{job_id}/retry").headers["Location"] == f"/jobs/{job_id}"
    assert state_of(dashboard, job_id) == JobState.QUEUED
    told = dashboard.audited()[0]
    assert told.who[0] == ADMIN
    assert told.description == f"job {job_id} (absent) queued again"
    assert told.studies == (STUDY,)
    again = visitor.submit(f"/jobs/{job_id}/retry")
    assert again.status_code == 409
    assert f"Job {job_id} is queued" in again.text


def test_a_job_is_made_urgent_and_cancelled(dashboard: Dashboard) -> None:
    job_id = queue_one(dashboard)
    visitor = dashboard.visitor(ADMIN)
    visitor.submit(f"/jobs/{job_id}/urgent")
    assert f'id="job-{job_id}"' in visitor.get("/jobs?urgent=yes").text
    visitor.submit(f"/jobs/{job_id}/cancel")
    assert state_of(dashboard, job_id) == JobState.CANCELLED
    told = [each.description for each in dashboard.audited() if each.description]
    assert told[:2] == [f"job {job_id} (absent) cancelled", f"job {job_id} (absent) made urgent"]


def test_a_held_result_is_sent_without_the_check_if_an_admin_says_so(dashboard: Dashboard) -> None:
    job_id = read_one(dashboard)
    with dashboard.database.write() as connection:
        for parcel in outbox.claim(connection, "pacs", "courier", 60, 10, TWICE):
            outbox.refused(connection, parcel, "no such class")
    dashboard.visitor(ADMIN).submit(f"/jobs/{job_id}/retry", unchecked="yes")
    assert "without the patient check" in dashboard.audited()[0].description
    (job,) = dashboard.node.jobs()
    assert {each["state"] for each in job["deliveries"]} == {"pending"}


def test_models_are_paused_with_a_reason_and_resumed(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor(ADMIN)
    visitor.submit("/models/cxr-covid/pause", reason="new detector")
    assert "new detector" in visitor.get("/models").text
    assert "cxr-covid is paused" in visitor.get("/").text
    assert visitor.submit("/models/cxr-covid/pause").status_code == 409
    visitor.submit("/models/cxr-covid/resume")
    assert "new detector" not in visitor.get("/models").text
    assert visitor.get("/models/nothing/pause").status_code == 404


def test_a_study_is_looked_at_again(dashboard: Dashboard) -> None:
    read_one(dashboard)
    visitor = dashboard.visitor(ADMIN)
    assert visitor.submit(f"/studies/{STUDY}/route").headers["Location"] == f"/studies/{STUDY}"
    with dashboard.database.read() as connection:
        assert stats.study(connection, STUDY)["state"] == "due"


def test_a_viewer_may_do_nothing(light: Dashboard) -> None:
    job_id = queue_one(light)
    visitor = light.visitor(VIEWER)
    assert "/cancel" not in visitor.get(f"/jobs/{job_id}").text
    token = {"csrf": visitor.csrf("/")}
    for path in (f"/jobs/{job_id}/cancel", f"/jobs/{job_id}/urgent", "/models/*/pause"):
        assert visitor.get(path).status_code == 403
        assert visitor.post(path, token).status_code == 403
    assert state_of(light, job_id) == JobState.QUEUED
    assert all(each.kind == "Login" for each in light.audited() if each.who[0] == VIEWER)


@pytest.mark.parametrize("token", ["", "wrong", "\u00e9"])
def test_a_form_without_the_visitors_token_does_nothing(light: Dashboard, token: str) -> None:
    job_id = queue_one(light)
    other = light.visitor(VIEWER).csrf("/")
    visitor = light.visitor(ADMIN)
    for given in (token, other):
        refused = visitor.post(f"/jobs/{job_id}/cancel", {"csrf": given})
        assert refused.status_code == 403
        assert "This form is out of date" in refused.text
    assert state_of(light, job_id) == JobState.QUEUED


@pytest.mark.parametrize(
    "path", ["/jobs/999", "/studies/1.2.3", "/models/nothing", "/pictures/image/1.2", "/nowhere"]
)
def test_what_is_not_there_is_told(light: Dashboard, path: str) -> None:
    assert light.visitor(ADMIN).get(path).status_code == 404


def test_whose_studies_somebody_saw_is_audited_once(light: Dashboard) -> None:
    read_one(light)
    visitor = light.visitor(VIEWER)
    for path in ("/studies", "/studies", f"/studies/{STUDY}"):
        visitor.get(path)
    seen = [each for each in light.audited() if each.event == "DICOM Instances Accessed"]
    assert [(each.who[0], each.studies) for each in seen] == [(VIEWER, (STUDY,))]
    light.visitor(ADMIN).get(f"/studies/{STUDY}")
    seen = [each for each in light.audited() if each.event == "DICOM Instances Accessed"]
    assert [each.who[0] for each in seen] == [ADMIN, VIEWER]


def picture(answer: requests.Response) -> Image.Image:
    assert answer.headers["Content-Type"] == "image/png"
    return Image.open(BytesIO(answer.content))


def test_images_and_overlays_become_small_pictures(light: Dashboard) -> None:
    read_one(light)
    visitor = light.visitor(VIEWER)
    page = visitor.get(f"/studies/{STUDY}").text
    (uid,) = _uids(light)
    small = visitor.get(f"/pictures/image/{uid}")
    assert max(picture(small).size) <= 224
    assert small.headers["Cache-Control"] == "private, max-age=3600"
    assert picture(visitor.get(f"/pictures/study/{STUDY}")).size == picture(small).size
    number = page.split("/pictures/overlay/")[1].split("?")[0]
    overlay = picture(visitor.get(f"/pictures/overlay/{number}?size=large"))
    assert overlay.mode == "RGB"
    assert max(overlay.size) <= 768


@pytest.mark.parametrize("content", [b"", b"no DICOM", as_file(image())[:400], as_file(colour())])
def test_a_file_that_is_no_picture_is_a_grey_square(light: Dashboard, content: bytes) -> None:
    header = image()
    light.node.receive_file(header, content)
    visitor = light.visitor(VIEWER)
    answer = visitor.get(f"/pictures/image/{header.SOPInstanceUID}")
    assert answer.status_code == 200
    assert picture(answer).size[0] > 0


def test_a_study_whose_images_are_gone_has_no_picture(light: Dashboard) -> None:
    header = image()
    light.node.receive_file(header, None)
    visitor = light.visitor(VIEWER)
    assert visitor.get(f"/pictures/image/{header.SOPInstanceUID}").status_code == 200
    assert visitor.get(f"/pictures/study/{OTHER}").status_code == 200


def test_lists_are_paged(light: Dashboard) -> None:
    light.node.receive(image())
    with light.database.write() as connection:
        images = studies.instances(connection, STUDY)
        for number in range(120):
            jobs.enqueue(connection, STUDY, ModelRef(f"absent-{number}", "1"), images)
    visitor, seen, path = light.visitor(VIEWER), list[str](), "/jobs?state=queued"
    for _ in range(3):
        page = visitor.get(path).text
        seen += [each.split('"')[0] for each in page.split('id="job-')[1:]]
        path = page.split('">Next page')[0].split('href="')[-1].replace("&amp;", "&")
    assert seen == [str(number) for number in range(120, 0, -1)]


def test_secrets_of_the_settings_are_not_shown(sqlite_database: Database, tmp_path: Path) -> None:
    section = (
        '[database]\nurl = "postgresql+psycopg://node:topsecret@db.example/wetread?sslkey=x"\n'
        '[[peer]]\nname = "ct"\nae_title = "CT"\nuser = "ctuser"\n'
    )
    with running(tmp_path, sqlite_database, section) as dashboard:
        page = dashboard.visitor(VIEWER).get("/system").text
    assert "topsecret" not in page
    assert "ctuser" not in page
    assert "postgresql+psycopg://node@db.example/wetread" in page


def test_a_certificate_that_cannot_be_read_hides_no_page(
    sqlite_database: Database, tmp_path: Path
) -> None:
    section = (
        '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "h"\nport = 104\n'
        'tls = true\nca = "ca.pem"\n'
    )
    with running(tmp_path, sqlite_database, section) as dashboard:
        visitor = dashboard.visitor(VIEWER)
        for path in ("/", "/system"):
            answer = visitor.get(path)
            assert answer.status_code == 200
            assert "ca.pem: cannot be read: No such file or directory" in answer.text
        assert '<span class="state bad">unreadable</span>' in answer.text


def test_the_system_page_says_how_busy_gpus_are(light: Dashboard) -> None:
    gpu = {"memory_used": 3 * 10**9, "memory_total": 80 * 10**9, "utilization": 0.414}
    with light.database.write() as connection:
        for host, gpus in (("ai-1", [gpu]), ("ai-2", [])):
            worker = Running(owner=host, role="work", host=host, pid=1, version="1")
            processes.beat(connection, worker, {"gpus": gpus})
    page = light.visitor(VIEWER).get("/system").text
    cells = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in page.split("<tr>")]
    assert ["ai-1", "0", "41.4 %", "3.0 GB of 80.0 GB"] in cells
    assert ["ai-2", "none", NONE, NONE] in cells


def test_an_open_page_is_told_of_what_changes(light: Dashboard) -> None:
    visitor, told = light.visitor(VIEWER), threading.Event()
    stream = visitor.session.get(light.url + "/events", stream=True, timeout=20)
    lines = stream.iter_lines()
    assert next(lines) == b"retry: 2000"

    def listen() -> None:
        if any(line == b"event: change" for line in lines):
            told.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    queue_one(light)
    assert told.wait(20)
    stream.close()
