"""Who may see the dashboard, who may do something there, and what every answer says."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from starlette.routing import Route

from db import accounts
from db.engine import Database
from tests.certificates import Authority
from tests.dashboards import ADMIN, PASSWORD, VIEWER, Dashboard, running
from wetread.web.app import application
from wetread.web.serving import AddressError, Server

# What needs no login; all others are refused.
OPEN = {"/login", "/metrics", "/healthz", "/readyz"}


@pytest.fixture
def dashboard(sqlite_database: Database, tmp_path: Path) -> Iterator[Dashboard]:
    with running(tmp_path, sqlite_database) as started:
        yield started


def test_a_right_password_opens_the_page_that_was_asked_for(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor()
    refused = visitor.get("/jobs")
    assert (refused.status_code, refused.headers["Location"]) == (303, "/login?next=/jobs")
    done = visitor.log_in(ADMIN, back="/jobs")
    assert (done.status_code, done.headers["Location"]) == (303, "/jobs")
    cookie = done.headers["Set-Cookie"]
    assert cookie.startswith("wetread=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert visitor.get("/jobs").status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [(ADMIN, "a wrong password"), ("nobody", PASSWORD), ("", ""), ("carol", ""), ("x" * 999, "y")],
)
def test_wrong_ones_are_told_the_same(dashboard: Dashboard, name: str, password: str) -> None:
    visitor = dashboard.visitor()
    refused = visitor.log_in(name, password)
    assert refused.status_code == 403
    assert "Name or password is wrong." in refused.text
    assert "Set-Cookie" not in refused.headers
    assert visitor.get("/").status_code == 303
    assert dashboard.audited()[0].kind == "Login"
    assert dashboard.audited()[0].outcome == "4"


@pytest.mark.parametrize("name", [ADMIN, "nobody"])
def test_who_guesses_has_to_wait_whether_the_account_exists_or_not(
    dashboard: Dashboard, name: str
) -> None:
    visitor = dashboard.visitor()
    for _ in range(5):
        assert "is wrong" in visitor.log_in(name, "a wrong password").text
    assert "Too many wrong passwords" in visitor.log_in(name, PASSWORD).text
    assert visitor.get("/").status_code == 303
    assert dashboard.visitor(VIEWER).get("/").status_code == 200  # nobody else waits


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", ""])
def test_the_login_leads_nowhere_else(dashboard: Dashboard, back: str) -> None:
    assert dashboard.visitor().log_in(ADMIN, back=back).headers["Location"] == "/"


def test_logging_out_ends_the_session(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor(ADMIN)
    token = visitor.session.cookies["wetread"]
    visitor.post("/logout", {"csrf": visitor.csrf("/")})
    visitor.session.cookies.set("wetread", token, domain="127.0.0.1")
    assert visitor.get("/").status_code == 303
    kinds = [each.kind for each in dashboard.audited()]
    assert kinds[:2] == ["Logout", "Login"]
    assert dashboard.audited()[0].who[0] == ADMIN
    assert "127.0.0.1" in dashboard.audited()[0].where


def test_another_password_ends_the_session(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor(ADMIN)
    with dashboard.database.write() as connection:
        accounts.set_password(connection, ADMIN, "another")
    assert visitor.get("/").status_code == 303


def test_every_route_but_the_login_wants_one(dashboard: Dashboard) -> None:
    app = application(dashboard.settings, dashboard.database, dashboard.node.archive)
    visitor, asked = dashboard.visitor(), 0
    for route in app.routes:
        if not isinstance(route, Route) or route.path in OPEN:
            continue
        path = route.path.replace("{id:int}", "1").replace("{uid}", "1.2").replace("{name}", "x")
        for method in route.methods or ():
            if method == "HEAD":
                continue
            sent = visitor.post(path, {"csrf": ""}) if method == "POST" else visitor.get(path)
            assert sent.status_code == 303, path
            assert sent.headers["Location"].startswith("/login"), path
            asked += 1
    assert asked > 20


def test_a_part_that_loads_itself_is_sent_to_the_login(dashboard: Dashboard) -> None:
    refused = dashboard.visitor().get("/jobs", **{"HX-Request": "true"})
    assert (refused.status_code, refused.headers["HX-Redirect"]) == (401, "/login")


def test_every_answer_is_guarded(dashboard: Dashboard) -> None:
    for answer in (
        dashboard.visitor().get("/login"),
        dashboard.visitor().get("/static/wetread.css"),
        dashboard.visitor().get("/nowhere"),
        dashboard.visitor(ADMIN).get("/"),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "Server" not in answer.headers
    assert dashboard.visitor(ADMIN).get("/studies").headers["Cache-Control"] == "no-store"


def test_no_page_has_a_script_or_a_style_of_its_own(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor(ADMIN)
    for path in ("/", "/studies", "/jobs", "/deliveries", "/models", "/system", "/audit"):
        page = visitor.get(path).text
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick" not in page
        assert page.count("<script") == page.count('<script src="/static/')


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused(dashboard: Dashboard, host: str) -> None:
    answer = dashboard.visitor().get("/login", Host=host)
    assert answer.status_code in (400, 421)
    assert "wetread</a>" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80", "10.1.2.3"])
def test_our_own_names_and_addresses_are_not(dashboard: Dashboard, host: str) -> None:
    assert dashboard.visitor().get("/login", Host=host).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_a_form_from_elsewhere_is_refused(dashboard: Dashboard, origin: str) -> None:
    visitor = dashboard.visitor(ADMIN)
    fields = {"csrf": visitor.csrf("/models/*/pause")}
    refused = visitor.post("/models/*/pause", fields, Origin=origin)
    assert refused.status_code == 403
    assert visitor.post("/models/*/pause", fields).status_code == 303


def test_a_large_form_is_refused(dashboard: Dashboard) -> None:
    visitor = dashboard.visitor()
    assert visitor.log_in("x" * 70_000).status_code == 413


def test_a_form_of_unknown_length_is_refused(dashboard: Dashboard) -> None:
    port = dashboard.settings.web.port
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Origin": f"http://127.0.0.1:{port}", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/login", iter([b"name=alice"]), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_proxy_says_who_comes(sqlite_database: Database, tmp_path: Path) -> None:
    section = 'login = "header"\nproxies = ["127.0.0.1/32"]\n'
    with running(tmp_path, sqlite_database, section) as dashboard:
        visitor = dashboard.visitor()
        assert visitor.get("/").status_code == 403
        assert visitor.get("/", **{"X-Remote-User": "mallory"}).status_code == 403
        seen = visitor.get(
            "/",
            **{
                "X-Remote-User": "carol",
                "X-Forwarded-For": "192.0.2.1, 192.0.2.7, 127.0.0.1",
                "X-Forwarded-Proto": "https",
            },
        )
        assert seen.status_code == 200
        assert "carol (viewer)" in seen.text
        assert "Log out" not in seen.text
        assert seen.headers["Set-Cookie"].startswith("__Host-wetread=")
        assert "Secure" in seen.headers["Set-Cookie"]
        assert dashboard.audited()[0].where[0] == "192.0.2.7"
        # Another name over the same browser is another session.
        other = visitor.get("/", **{"X-Remote-User": ADMIN})
        assert "alice (admin)" in other.text
        assert visitor.log_in(ADMIN).headers["Location"] == "/"


def test_the_header_of_a_stranger_is_not_read(sqlite_database: Database, tmp_path: Path) -> None:
    section = 'login = "header"\nproxies = ["10.0.0.0/8"]\n'
    with running(tmp_path, sqlite_database, section) as dashboard:
        refused = dashboard.visitor().get(
            "/", **{"X-Remote-User": ADMIN, "X-Forwarded-For": "10.0.0.1"}
        )
        assert refused.status_code == 403
        assert "Set-Cookie" not in refused.headers


def test_over_https_the_cookie_stays_there(sqlite_database: Database, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("wetread")
    section = f'certificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
    with running(tmp_path, sqlite_database, section, "https") as dashboard:
        visitor = dashboard.visitor()
        visitor.session.verify = str(authority.certificate)
        visitor.session.headers["Connection"] = "close"  # so that none outlives the server's loop
        done = visitor.log_in(ADMIN)
        assert done.headers["Set-Cookie"].startswith("__Host-wetread=")
        assert "Secure" in done.headers["Set-Cookie"]
        assert visitor.get("/").status_code == 200


def test_a_taken_port_is_named(dashboard: Dashboard) -> None:
    port = dashboard.settings.web.port
    app = application(dashboard.settings, dashboard.database, dashboard.node.archive)
    with pytest.raises(AddressError, match=rf"127.0.0.1:{port}: Address already in use"):
        Server(dashboard.settings, app)
