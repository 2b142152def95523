"""The page on access and TLS states what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from scp.passcode import hashed
from scp.rejection import Rejection
from scp.tls import server_context
from wetread import certificates
from wetread.config import Settings
from wetread.sections import PeerSection

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
# The rest of a peer's section is not about who may come in.
ELSEWHERE = {"name", "urgent", "host", "port", "tls", "server_name"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_each_rejection_is_stated_in_the_order_of_the_checks() -> None:
    listed = re.findall(r"^\| ([A-Z_]+) \| (\d) \| (\d) \| (\d) \| (.*) \|$", PAGE, re.MULTILINE)
    assert [(name, *map(int, numbers), text) for name, *numbers, text in listed] == [
        (each.name, *each.value) for each in Rejection
    ]


def test_each_setting_of_a_peer_is_explained() -> None:
    explained = re.findall(r"^\| `([a-z_]+)` \| [A-Z]", PAGE, re.MULTILINE)
    assert explained == [each for each in PeerSection.model_fields if each not in ELSEWHERE]


def test_the_settings_shown_are_settings() -> None:
    shown = "".join(blocks("toml")).replace("scrypt$14$8$1$...", hashed(b"x"))
    settings = Settings(**tomllib.loads(shown))
    assert [each.name for each in settings.peer] == ["ct1", "pacs"]
    assert settings.tls.require
    assert settings.destination[0].tls


def test_the_numbers_stated_are_those_of_the_program() -> None:
    assert f"port {Settings().tls.port}," in PAGE
    assert f"From {certificates.WARN_DAYS}\ndays before" in PAGE


def test_the_commands_shown_make_certificates_that_can_be_used(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    (commands,) = blocks("sh")
    subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
    ours, key, ca = (
        str(tmp_path / each) for each in ("wetread.pem", "wetread.key", "clinic-ca.pem")
    )
    certificates.check(certificates.TlsFiles(certificate=ours, key=key, ca=ca))
    server_context(ours, key, ca)
    subprocess.run(
        ["openssl", "verify", "-CAfile", ca, "-purpose", "sslserver", ours],
        check=True, capture_output=True,
    )  # fmt: skip
