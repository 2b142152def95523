"""The files of TLS: whether they can be used, and when they run out."""

from __future__ import annotations

import binascii
import re
import ssl
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from wetread.config import Settings
from wetread.der import Validity, validity
from wetread.origin import ConfigError
from wetread.sections import Destination

WARN_DAYS = 30
# What OpenSSL says of two files that do not belong together; the last of keys of different kinds.
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_DAY_SECONDS = 86_400.0
_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.ASCII | re.DOTALL
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files; empty for none."""

    certificate: str = ""
    key: str = ""
    ca: str = ""


def receiver_files(settings: Settings) -> TlsFiles:
    """Those of what comes in."""
    return TlsFiles(certificate=settings.tls.certificate, key=settings.tls.key, ca=settings.tls.ca)


def delivery_files(destination: Destination) -> TlsFiles:
    """Those of a destination."""
    return TlsFiles(certificate=destination.certificate, key=destination.key, ca=destination.ca)


def audit_files(settings: Settings) -> TlsFiles:
    """Those of the audit server."""
    audit = settings.audit
    return TlsFiles(certificate=audit.certificate, key=audit.key, ca=audit.ca)


def web_files(settings: Settings) -> TlsFiles:
    """Those of the dashboard."""
    return TlsFiles(certificate=settings.web.certificate, key=settings.web.key)


def check(files: TlsFiles) -> None:
    """Judge the files before they are used.

    Raises
    ------
    ConfigError
        One cannot be read, holds not what it should, belongs to no other, or has run out; the
        message names it.
    """
    now = datetime.now(UTC)
    if files.certificate:
        leaf = _certificates(files.certificate)[0]
        _check_key(files.key)
        _check_pair(files)
        if now > leaf.not_after:
            raise ConfigError(f"{files.certificate}: expired on {leaf.not_after:%Y-%m-%d}")
        if now < leaf.not_before:
            raise ConfigError(
                f"{files.certificate}: is not valid before {leaf.not_before:%Y-%m-%d}"
            )
    if files.ca:
        last = max(each.not_after for each in _certificates(files.ca))
        if now > last:
            raise ConfigError(f"{files.ca}: expired on {last:%Y-%m-%d}")


def exposed(files: TlsFiles) -> bool:
    """Whether every user of this machine may read the private key."""
    return bool(files.key) and readable_by_all(files.key)


def readable_by_all(file: str) -> bool:
    """Whether every user of this machine may read a file."""
    return bool(Path(file).stat().st_mode & stat.S_IROTH)


def by_use(settings: Settings) -> dict[str, TlsFiles]:
    """Those of every connection that the settings secure, by what it is for."""
    deliveries = {f"destination:{each.name}": delivery_files(each) for each in settings.destination}
    return {
        "receiving": receiver_files(settings),
        **deliveries,
        "audit": audit_files(settings),
        "dashboard": web_files(settings),
    }


def all_files(settings: Settings) -> list[TlsFiles]:
    """Those of every connection that the settings secure."""
    return list(by_use(settings).values())


def names(files: Iterable[TlsFiles]) -> list[str]:
    """The files with certificates among them."""
    return sorted({name for each in files for name in (each.certificate, each.ca) if name})


def end(file: str) -> datetime:
    """When the first certificate in a file runs out.

    Raises
    ------
    ConfigError
        The file cannot be read or holds no certificate.
    """
    return min(each.not_after for each in _certificates(file))


def leaf(file: str) -> bytes:
    """The first certificate in a file, in DER form: the one that is shown to the other side.

    Raises
    ------
    ConfigError
        The file cannot be read or holds no certificate.
    """
    found = _CERTIFICATE.search(_read(file))
    if found is None:
        raise ConfigError(f"{file}: holds no certificate in PEM form")
    return ssl.PEM_cert_to_DER_cert(found[0])


def watch(files: Iterable[TlsFiles], stop: threading.Event) -> None:
    """Warn now and once a day of what runs out, until ``stop`` is set; does not wait for it."""
    watched = [each for each in files if each != TlsFiles()]
    if watched:
        threading.Thread(target=_watch, args=(watched, stop), daemon=True).start()


def _watch(files: list[TlsFiles], stop: threading.Event) -> None:
    while True:
        warn(files, datetime.now(UTC))
        if stop.wait(_DAY_SECONDS):
            return


def warn(files: Iterable[TlsFiles], now: datetime) -> None:
    """Log what runs out within 30 days, and as an error what has run out."""
    for name in names(files):
        try:
            last = end(name)
        except ConfigError as error:
            _log.warning("certificate.unreadable", error=str(error))
            continue
        days = (last - now).days
        if days < 0:
            _log.error("certificate.expired", file=name, not_after=last.isoformat())
        elif days < WARN_DAYS:
            _log.warning("certificate.expires", file=name, not_after=last.isoformat(), days=days)


def _check_key(file: str) -> None:
    content = _read(file)
    if "PRIVATE KEY-----" not in content:
        raise ConfigError(f"{file}: holds no private key in PEM form")
    if "ENCRYPTED" in content:
        raise ConfigError(f"{file}: is protected by a password; wetread must read it unattended")


def _check_pair(files: TlsFiles) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
    except ssl.SSLError as error:
        if error.reason in _MISMATCH:
            message = f"{files.key}: is not the private key of {files.certificate}"
        else:
            why = (error.reason or "cannot be used").lower().replace("_", " ")
            message = f"{files.certificate} with {files.key}: {why}"
        raise ConfigError(message) from error


def _certificates(file: str) -> list[Validity]:
    found = _CERTIFICATE.findall(_read(file))
    if not found:
        raise ConfigError(f"{file}: holds no certificate in PEM form")
    try:
        return [validity(ssl.PEM_cert_to_DER_cert(each)) for each in found]
    except (ValueError, binascii.Error) as error:
        raise ConfigError(f"{file}: holds a damaged certificate") from error


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
