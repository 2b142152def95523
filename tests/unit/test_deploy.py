"""The service unit and the settings of docs/hardening.md, as a host would use them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wetread import certificates
from wetread.config import Settings
from wetread.listeners import listeners, tls_context

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "wetread.service"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    return program


def test_systemd_takes_the_unit(analyze: str, tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text("utf-8")
    assert "ExecStart=/opt/wetread/bin/wetread up " in text
    unit.write_text(text.replace("/opt/wetread/bin/wetread", sys.executable), "utf-8")
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_as_closed_as_the_page_says(analyze: str) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", UNIT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.search(r"exposure level for wetread.service: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip("this systemd-analyze judges no unit offline; it takes version 250")
    (promised,) = re.findall(r"the unit in `deploy/` gets less than (\d+) ", page("hardening.md"))
    assert float(found[1]) < float(promised)


def test_the_supervisor_is_given_the_time_it_takes() -> None:
    seconds = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text("utf-8"), re.M)[0])
    (taken,) = re.findall(r"does not end within (\d+)\nseconds is killed", page("operating.md"))
    assert seconds > int(taken)


def test_the_settings_to_begin_with_can_be_used(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    (make_certificates,) = re.findall(r"```sh\n(openssl.*?)```", page("security.md"), re.S)
    subprocess.run(
        ["sh", "-e", "-c", make_certificates], cwd=tmp_path, check=True, capture_output=True
    )
    (shown,) = re.findall(r"```toml\n(.*?)```", page("hardening.md"), re.S)
    settings = Settings(**tomllib.loads(shown.replace("/etc/wetread/tls", str(tmp_path))))
    for files in certificates.all_files(settings):
        certificates.check(files)
        assert not certificates.exposed(files)
    assert [each.secured for each in listeners(settings)] == [True, False]
    assert tls_context(settings) is not None
    assert settings.gate() is not None
