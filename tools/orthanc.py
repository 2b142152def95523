"""An Orthanc server of our own as the receiving PACS."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from pydicom import Dataset, dcmread

from tools.ports import free_port

_START_SECONDS = 30.0
_DICOM_WEB_PLUGIN = "libOrthancDicomWeb.so"
_PLUGIN_FOLDERS = (Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))


class Orthanc:
    """Starts Orthanc in a folder; answers questions over its REST interface.

    Parameters
    ----------
    folder
        Where it keeps its database, over restarts.
    dicom_web
        Whether it also answers DICOMweb, under :attr:`dicom_web_url`.
    settings
        Of its configuration, over ours.

    Attributes
    ----------
    takes_all
        Whether it takes instances from anybody; False refuses them from its next start on.
    """

    ae_title = "ORTHANC"

    def __init__(
        self, folder: Path, *, dicom_web: bool = False, settings: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = folder
        self._dicom_web = dicom_web
        self._further = dict(settings or {})
        self.takes_all = True
        self.port, self._http_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def installed() -> bool:
        """Whether the server can be started here."""
        return shutil.which("Orthanc") is not None

    @staticmethod
    def has_dicom_web() -> bool:
        """Whether the DICOMweb plugin is installed."""
        return _dicom_web_plugin() is not None

    @property
    def dicom_web_url(self) -> str:
        """Root of its QIDO-RS, WADO-RS and STOW-RS."""
        return f"http://127.0.0.1:{self._http_port}/dicom-web"

    def start(self) -> None:
        """Start and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "orthanc.json"
        config.write_text(json.dumps(self._settings() | self._further), "utf-8")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["Orthanc", config], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.get("/system")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"Orthanc did not start: {(self._folder / 'log').read_text('utf-8')}")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def get(self, path: str) -> Any:
        """JSON answer of the REST interface."""
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """Bytes that the REST interface answers."""
        url = f"http://127.0.0.1:{self._http_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bytes(answer.read())

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Answer of the REST interface to a request with JSON, or a text, in its body."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return self._call(method, path, data)

    def store(self, file: Path) -> None:
        """Put a DICOM file into it, as if it had always been there."""
        self._call("POST", "/instances", file.read_bytes())

    def _call(self, method: str, path: str, data: bytes) -> Any:
        url = f"http://127.0.0.1:{self._http_port}{path}"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def files(self) -> list[bytes]:
        """Every stored instance as a DICOM file."""
        return [self.get_bytes(f"/instances/{each}/file") for each in self.get("/instances")]

    def datasets(self) -> list[Dataset]:
        """Every stored instance."""
        return [dcmread(BytesIO(each)) for each in self.files()]

    def _settings(self) -> dict[str, Any]:
        return {
            "Name": "wetread",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "HttpPort": self._http_port,
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "DicomServerEnabled": True,
            "DicomAlwaysAllowStore": self.takes_all,
            "UnknownSopClassAccepted": True,
            "Plugins": [str(_dicom_web_plugin())] if self._dicom_web else [],
            "DicomWeb": {"Enable": self._dicom_web, "Root": "/dicom-web/", "EnableWado": False},
        }


def _dicom_web_plugin() -> Path | None:
    files = (folder / _DICOM_WEB_PLUGIN for folder in _PLUGIN_FOLDERS)
    return next((file for file in files if file.exists()), None)
