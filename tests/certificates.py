"""Certificates for tests, made by the ``openssl`` program as docs/security.md does it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as paths of PEM files."""

    certificate: str
    key: str


class Authority:
    """A certification authority that lives in a folder."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = str(folder / "ca.pem")
        _openssl(
            "req", "-x509", *_new_key(folder / "ca.key"), "-days", "30",
            "-subj", f"/CN={name}", "-out", self.certificate,
        )  # fmt: skip

    @staticmethod
    def installed() -> bool:
        """Whether certificates can be made here."""
        return shutil.which("openssl") is not None

    def issue(
        self,
        name: str,
        alternatives: str = "DNS:localhost,IP:127.0.0.1",
        days: int = 30,
        rsa: bool = False,
        purpose: str = "",
    ) -> Pair:
        """Sign a certificate; with -1 ``days`` it ran out yesterday."""
        base = self._folder / f"{name}{days}"
        request, certificate = f"{base}.csr", f"{base}.pem"
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{base}.key"]
        _openssl(
            "req", *(key if rsa else _new_key(Path(f"{base}.key"))), "-subj", f"/CN={name}",
            "-addext", f"subjectAltName={alternatives}", "-out", request,
            *(["-addext", f"extendedKeyUsage={purpose}"] if purpose else []),
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAcreateserial",
            "-CAkey", str(self._folder / "ca.key"), "-days", str(days), "-copy_extensions", "copy",
            "-out", certificate,
        )  # fmt: skip
        return Pair(certificate, f"{base}.key")


def _new_key(file: Path) -> list[str]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return [*curve, "-keyout", str(file)]


def _openssl(*arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
