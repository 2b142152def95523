"""The sections of the settings file: what each may hold, and what is there by default."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from db.retention import Policy
from scp.disk import MEGABYTE
from scp.gate import PeerRule
from scp.passcode import checked as checked_hash
from wetread.origin import DATA_DIR

_QUIET_SECONDS = {"default": 30.0, "CR": 5.0, "DX": 5.0}


def checked_ae_title(value: str) -> str:
    """Return an AE title without the blanks around it.

    Raises
    ------
    ValueError
        It is none.
    """
    title = value.strip(" ")
    if not 0 < len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError("must have 1 to 16 ASCII characters without backslash (PS3.5, VR AE)")
    return title


AETitle = Annotated[str, AfterValidator(checked_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Days = Annotated[float, Field(ge=0, le=36_500)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(_Section):
    """``[node]``: who we are, where we listen, where files lie."""

    ae_title: AETitle = "WETREAD"
    host: str = Field(default="0.0.0.0", min_length=1)
    port: Port = 11112
    data_dir: Path = Path(DATA_DIR)
    receivers: int = Field(default=1, ge=1, le=16)
    free_megabytes: int = Field(default=1024, ge=0, le=100_000_000)


class TlsSection(_Section):
    """``[tls]``: encrypted DICOM for what comes in; off without a certificate."""

    certificate: str = ""
    key: str = ""
    ca: str = ""
    port: Port = 2762
    require: bool = True

    @model_validator(mode="after")
    def _complete(self) -> TlsSection:
        _check_tls_files(self.certificate, self.key)
        if self.ca and not self.certificate:
            raise ValueError("ca needs certificate and key")
        return self


def _check_tls_files(certificate: str, key: str) -> None:
    if bool(certificate) != bool(key):
        raise ValueError("certificate and key go together")


class PeerSection(_Section):
    """``[[peer]]``: who may come in, how it is known, and what it may send."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    ae_title: AETitle
    networks: list[IPvAnyNetwork] = []
    called: list[AETitle] = []
    certificate: str = Field(default="", max_length=255)
    user: str = Field(default="", max_length=255)
    passcode_hash: SecretStr = SecretStr("")
    sop_classes: list[str] = []
    object_megabytes: float = Field(default=0, ge=0, le=1_000_000)
    megabytes_per_second: float = Field(default=0, ge=0, le=1_000_000)
    associations: int = Field(default=0, ge=0, le=1000)
    urgent: bool = False
    host: str = ""
    port: Port = 104
    tls: bool = False
    server_name: str = Field(default="", max_length=255)

    @field_validator("passcode_hash")
    @classmethod
    def _no_clear_passcode(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            checked_hash(value.get_secret_value())
        return value

    @field_validator("sop_classes")
    @classmethod
    def _storage_classes(cls, value: list[str]) -> list[str]:
        if not value:
            return value
        # Only where it is needed: it imports a large library.
        from scp.sop_classes import storage_class

        return [storage_class(each) for each in value]

    @model_validator(mode="after")
    def _tls_of_a_host(self) -> PeerSection:
        if self.tls and not self.host:
            raise ValueError("tls needs host: it says how to call back")
        if self.server_name and not self.tls:
            raise ValueError("server_name needs tls = true")
        return self

    @model_validator(mode="after")
    def _passcode_of_a_user(self) -> PeerSection:
        if self.passcode_hash.get_secret_value() and not self.user:
            raise ValueError("passcode_hash needs user")
        return self

    def rule(self, our_ae_title: str) -> PeerRule:
        """What the gate must know of it."""
        return PeerRule(
            name=self.name,
            ae_title=self.ae_title,
            called=frozenset(self.called or [our_ae_title]),
            networks=tuple(self.networks),
            certificate=self.certificate,
            user=self.user,
            passcode_hash=self.passcode_hash.get_secret_value(),
            sop_classes=frozenset(self.sop_classes) or None,
            object_bytes=round(self.object_megabytes * 1e6) or None,
            bytes_per_second=self.megabytes_per_second * 1e6 or None,
            associations=self.associations or None,
        )


class DatabaseSection(_Section):
    """``[database]``: where the job table is; by default a SQLite file in ``data_dir``."""

    url: str = ""

    @field_validator("url")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("must start with sqlite:/// or postgresql+psycopg://")
        try:
            make_url(value or "sqlite:///")
        except (ArgumentError, ValueError) as error:
            # Its own text may quote the password.
            raise ValueError(
                "is no URL such as postgresql+psycopg://user@host:5432/name"
            ) from error
        return value


class Study(_Section):
    """``[study]``: when a study counts as complete."""

    quiet_seconds: dict[str, Seconds] = _QUIET_SECONDS
    release_seconds: Seconds = 1.0

    @field_validator("quiet_seconds")
    @classmethod
    def _over_defaults(cls, value: dict[str, float]) -> dict[str, float]:
        # Names of environment variables arrive in lower case; modalities are upper case.
        given = {name if name == "default" else name.upper(): value[name] for name in value}
        return _QUIET_SECONDS | given


class Worker(_Section):
    """``[worker]``: how studies are read."""

    processes: int = Field(default=1, ge=0, le=64)
    batch: int = Field(default=0, ge=0, le=256)
    lease_seconds: float = Field(default=30.0, ge=2, le=3600)
    attempts: int = Field(default=5, ge=1, le=100)
    retry_seconds: Seconds = 2.0
    retry_longest_seconds: Seconds = 300.0


class Delivery(_Section):
    """``[delivery]``: how results go out."""

    attempts: int = Field(default=300, ge=1, le=10_000)
    retry_seconds: Seconds = 2.0
    retry_longest_seconds: Seconds = 600.0
    lease_seconds: float = Field(default=120.0, ge=10, le=3600)
    batch: int = Field(default=32, ge=1, le=1000)
    commitment_seconds: float = Field(default=86_400.0, ge=1, le=2_592_000)


class Storage(_Section):
    """``[storage]``: what is removed, and when; by default nothing ever is."""

    source_days: Days = 0.0
    delivered_days: Days = 0.0
    purge_megabytes: int = Field(default=0, ge=0, le=100_000_000)
    result_days: Days = 0.0

    @model_validator(mode="after")
    def _results_last(self) -> Storage:
        if 0 < self.result_days < self.source_days:
            raise ValueError("result_days: results are kept no shorter than source_days")
        return self

    def policy(self) -> Policy:
        """What retention must know."""
        return Policy(
            source_days=self.source_days,
            delivered_days=self.delivered_days,
            mark_bytes=self.purge_megabytes * MEGABYTE,
            result_days=self.result_days,
        )


class Models(_Section):
    """``[models]``: folders with model packages besides our own, and what runs how often."""

    folders: list[Path] = []
    disabled: list[str] = []
    concurrency: dict[str, Annotated[int, Field(ge=1)]] = {}


class Log(_Section):
    """``[log]``: how much is said, on standard error and in a file."""

    level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    json_lines: bool = False
    file: str = "log/wetread.log"


class AuditSection(_Section):
    """``[audit]``: where the audit trail goes, and what it says."""

    file: str = "audit/audit.xml"
    file_megabytes: float = Field(default=64, gt=0, le=1_000_000)
    syslog_host: str = Field(default="", max_length=255)
    syslog_port: Port = 6514
    ca: str = ""
    certificate: str = ""
    key: str = ""
    spool_megabytes: float = Field(default=64, gt=0, le=1_000_000)
    spool_days: float = Field(default=30, gt=0, le=3650)
    source_id: str = Field(default="", max_length=255)
    enterprise_site: str = Field(default="", max_length=255)
    patient: Literal["none", "id"] = "none"

    @model_validator(mode="after")
    def _complete(self) -> AuditSection:
        _check_tls_files(self.certificate, self.key)
        if (self.ca or self.certificate) and not self.syslog_host:
            raise ValueError("ca and certificate are for syslog_host, which is not given")
        return self


def _checked_host_name(value: str) -> str:
    """Return a host name without a port, in lower case."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", value):
        raise ValueError("is no host name such as wetread.clinic.example (without a port)")
    return value.lower()


class Web(_Section):
    """``[web]``: the dashboard, and who may see it."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 11180
    names: list[Annotated[str, AfterValidator(_checked_host_name)]] = []
    login: Literal["password", "header"] = "password"
    header: str = Field(default="X-Remote-User", pattern=r"^[A-Za-z0-9-]{1,64}$")
    proxies: list[IPvAnyNetwork] = []
    certificate: str = ""
    key: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Web:
        _check_tls_files(self.certificate, self.key)
        if self.login == "header" and not self.proxies:
            raise ValueError(
                'login = "header" needs proxies: the networks whose header is believed'
            )
        return self


class Metrics(_Section):
    """``[metrics]``: who may read ``/metrics`` of the dashboard's address."""

    networks: list[IPvAnyNetwork] = [IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")]
    token_file: str = ""


Kind = Literal["sr", "text", "sc", "gsps", "kos", "seg", "pdf", "pm"]
ReportClass = Literal["comprehensive-3d", "comprehensive", "enhanced", "basic-text"]


class Results(_Section):
    """``[destination.results]``: what a destination gets, and how it looks."""

    send: list[Kind] = ["sr", "text", "sc"]
    language: Literal["en", "ja", "fr"] = "en"
    fallback: list[ReportClass] = ["comprehensive-3d", "comprehensive", "enhanced", "basic-text"]
    banner: str = Field(default="", max_length=64)
    series_numbers: dict[Kind | Literal["notice"], Annotated[int, Field(ge=1, le=99_999)]] = {}
    negatives: bool = True
    not_processed: bool = False
    key_images: Literal["of-interest", "for-research"] = "of-interest"

    @field_validator("send", "fallback")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("must name at least one")
        if len(set(value)) < len(value):
            raise ValueError("must name each only once")
        return value


def _checked_url(value: str) -> str:
    """Return a DICOMweb base URL without the slash at its end."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("is no URL such as https://pacs.clinic.example/dicom-web")
    if "@" in parts.netloc:
        raise ValueError("holds a user; give it as user, with its password in secret_file")
    if parts.query or parts.fragment:
        raise ValueError("must end before '?' and '#'")
    return value.rstrip("/")


class Destination(_Section):
    """``[[destination]]``: a PACS that gets the results."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    ae_title: AETitle = ""
    host: str = ""
    port: Port = 0
    url: str = ""
    user: str = Field(default="", max_length=255)
    secret_file: str = ""
    associations: int = Field(default=1, ge=1, le=16)
    commitment: bool = False
    check_patient: Literal["off", "if-known", "required"] = "if-known"
    tls: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = Field(default="", max_length=255)
    results: Results = Results()

    @field_validator("url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return _checked_url(value) if value else value

    @model_validator(mode="after")
    def _one_way(self) -> Destination:
        address = (self.ae_title, self.host, self.port)
        if self.url and any(address):
            raise ValueError("has either ae_title, host and port (C-STORE), or url (STOW-RS)")
        if not self.url and not all(address):
            raise ValueError("needs ae_title, host and port (C-STORE), or url (STOW-RS)")
        if not self.url and (self.user or self.secret_file):
            raise ValueError("user and secret_file are for url, which is not given")
        if self.user and not self.secret_file:
            raise ValueError("user needs secret_file: the file with the password")
        if ":" in self.user:
            raise ValueError("user: must not hold a colon (RFC 7617)")
        if self.url and self.commitment:
            raise ValueError("commitment: there is no storage commitment over DICOMweb (url)")
        return self

    @model_validator(mode="after")
    def _tls_complete(self) -> Destination:
        _check_tls_files(self.certificate, self.key)
        if self.url:
            if self.tls or self.server_name:
                raise ValueError("tls and server_name: a url says both; begin it with https://")
            if not self.secured and (self.ca or self.certificate):
                raise ValueError("ca, certificate and key need a url that begins with https://")
        elif not self.tls and (self.ca or self.certificate or self.server_name):
            raise ValueError("ca, certificate, key and server_name need tls = true")
        return self

    @property
    def secured(self) -> bool:
        """Whether what is sent to it is encrypted."""
        return self.tls or self.url.startswith("https://")
