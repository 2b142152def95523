"""The files of TLS: each fault is told with the file's name; what runs out is told in time."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import Authority, Pair
from wetread import certificates
from wetread.certificates import TlsFiles
from wetread.config import load
from wetread.der import validity
from wetread.origin import ConfigError
from wetread.peers import destination_peer

pytestmark = pytest.mark.skipif(
    not Authority.installed(), reason="openssl is not installed: apt-get install openssl"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("node")


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def files(pair: Pair, **other: str) -> TlsFiles:
    return TlsFiles(**{"certificate": pair.certificate, "key": pair.key} | other)


def refusal(judged: TlsFiles) -> str:
    with pytest.raises(ConfigError) as caught:
        certificates.check(judged)
    return str(caught.value)


def test_good_files_pass(authority: Authority, pair: Pair) -> None:
    certificates.check(files(pair, ca=authority.certificate))
    certificates.check(TlsFiles(ca=authority.certificate))
    certificates.check(TlsFiles())


def test_a_file_that_is_not_there_or_may_not_be_read(pair: Pair, tmp_path: Path) -> None:
    for name in ("certificate", "key", "ca"):
        missing = str(tmp_path / "none.pem")
        assert refusal(files(pair, **{name: missing})) == (
            f"{missing}: cannot be read: No such file or directory"
        )
        assert "cannot be read" in refusal(files(pair, **{name: str(tmp_path)}))


def test_a_file_that_holds_something_else(pair: Pair, tmp_path: Path) -> None:
    noise = tmp_path / "noise.pem"
    for content in (b"", b"\xff\xfe\x00", Path(pair.key).read_bytes()):
        noise.write_bytes(content)
        for name in ("certificate", "ca"):
            assert refusal(files(pair, **{name: str(noise)})) == (
                f"{noise}: holds no certificate in PEM form"
            )
    assert refusal(files(pair, key=pair.certificate)) == (
        f"{pair.certificate}: holds no private key in PEM form"
    )
    begin, end = "-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"
    for damaged in ("AAAA", "MIIB", "!!"):
        noise.write_text(begin + damaged + end, "ascii")
        assert (
            refusal(files(pair, certificate=str(noise))) == f"{noise}: holds a damaged certificate"
        )


def test_a_key_of_another_certificate(authority: Authority, pair: Pair) -> None:
    for other in (authority.issue("other"), authority.issue("rsa", rsa=True)):
        assert refusal(files(pair, key=other.key)) == (
            f"{other.key}: is not the private key of {pair.certificate}"
        )


def test_a_key_with_a_password_is_not_asked_for(pair: Pair, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", pair.key, "-aes256", "-passout", "pass:x", "-out", locked],
        check=True, capture_output=True,
    )  # fmt: skip
    assert f"{locked}: is protected by a password" in refusal(files(pair, key=str(locked)))


def test_a_key_that_is_too_short(tmp_path: Path) -> None:
    short = Pair(str(tmp_path / "short.pem"), str(tmp_path / "short.key"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=x",
         "-keyout", short.key, "-out", short.certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    assert refusal(files(short)) == f"{short.certificate} with {short.key}: ee key too small"


def test_a_key_that_everyone_may_read(pair: Pair, tmp_path: Path) -> None:
    copy = tmp_path / "copy.key"
    copy.write_bytes(Path(pair.key).read_bytes())
    copy.chmod(0o640)
    assert not certificates.exposed(files(pair, key=str(copy)))
    copy.chmod(0o644)
    assert certificates.exposed(files(pair, key=str(copy)))
    assert not certificates.exposed(TlsFiles())


def test_what_has_run_out_is_refused(authority: Authority, pair: Pair) -> None:
    expired = authority.issue("expired", days=-1)
    day = f"{datetime.now(UTC) - timedelta(1):%Y-%m-%d}"
    assert refusal(files(expired)) == f"{expired.certificate}: expired on {day}"
    assert (
        refusal(files(pair, ca=expired.certificate)) == f"{expired.certificate}: expired on {day}"
    )


def test_what_runs_out_soon_is_warned_of(
    authority: Authority, logged: list[Any], tmp_path: Path
) -> None:
    soon, later = authority.issue("soon", days=29), authority.issue("later", days=60)
    gone = authority.issue("gone", days=-1)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Path(later.certificate).read_text() + Path(soon.certificate).read_text())
    now = datetime.now(UTC)
    certificates.warn([files(later), files(soon), files(later, ca=gone.certificate)], now)
    certificates.warn([files(later, ca=str(bundle))], now)
    expired, expires, in_bundle = sorted(logged, key=lambda line: line["event"])
    assert (expired["event"], expired["log_level"]) == ("certificate.expired", "error")
    assert expired["file"] == gone.certificate
    assert (expires["event"], expires["log_level"]) == ("certificate.expires", "warning")
    assert (expires["file"], expires["days"]) == (soon.certificate, 28)
    assert in_bundle["file"] == str(bundle)  # the first to run out counts
    certificates.warn([files(later)], now + timedelta(61))
    assert logged[-1]["event"] == "certificate.expired"


def test_it_is_told_at_start_and_again_each_day(
    authority: Authority, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_DAY_SECONDS", 0.01)
    stop = threading.Event()
    certificates.watch([TlsFiles(), files(authority.issue("soon", days=3))], stop)
    deadline = time.monotonic() + 5
    while len(logged) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    assert {each["event"] for each in logged} == {"certificate.expires"}
    assert len(logged) >= 3


def test_a_file_that_went_away_is_warned_of(
    authority: Authority, logged: list[Any], tmp_path: Path
) -> None:
    soon = authority.issue("soon", days=3)
    certificates.warn([files(soon, ca=str(tmp_path / "none.pem"))], datetime.now(UTC))
    by_event = {each["event"]: each for each in logged}
    assert set(by_event) == {"certificate.unreadable", "certificate.expires"}
    assert "none.pem" in by_event["certificate.unreadable"]["error"]
    assert by_event["certificate.expires"]["file"] == soon.certificate


@pytest.mark.parametrize("days", [1, 400, 12_000, 40_000])
def test_dates_are_those_that_openssl_states(authority: Authority, days: int) -> None:
    certificate = authority.issue("dated", days=days).certificate
    done = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-dates"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    stated = [line.split("=")[1] for line in done.stdout.splitlines()]
    (read,) = certificates._certificates(certificate)
    for text, ours in zip(stated, (read.not_before, read.not_after), strict=True):
        assert datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC) == ours


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - none of these is a certificate
        validity(content)


def test_a_destination_says_which_file_is_wrong(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WETREAD_CONFIG", raising=False)
    text = '[[destination]]\nname = "p"\nae_title = "P"\nhost = "h"\nport = 104\ntls = true\n'
    Path("wetread.toml").write_text(text + 'ca = "none.pem"\nserver_name = "pacs"\n', "utf-8")
    settings = load()
    with pytest.raises(ConfigError, match=r"none\.pem: cannot be read"):
        destination_peer(settings, settings.destination[0])
    Path("none.pem").write_bytes(Path(authority.certificate).read_bytes())
    peer = destination_peer(settings, settings.destination[0])
    assert peer.tls is not None
    assert peer.server_name == "pacs"
