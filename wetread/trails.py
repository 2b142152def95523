"""Opens the audit trail that the settings ask for."""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from audit.events import Author, Person
from audit.file import FileSink
from audit.messages import Participant, Source
from audit.shipper import SyslogSink
from audit.spool import Spool
from audit.syslog import Header, Server
from audit.trail import Sink, Trail
from wetread import log
from wetread.config import Settings
from wetread.origin import ConfigError
from wetread.sections import AuditSection

_DAY_SECONDS = 86_400.0
_NO_LOGIN = 2**32 - 1  # what /proc/self/loginuid says of a process that nobody logged in for


def role_trail(settings: Settings, role: str) -> Trail:
    """The trail of a role, which also sends what any process has spooled.

    Raises
    ------
    ConfigError
        The file or the spool cannot be written, or a file of its TLS cannot be used.
    """
    sinks, syslog = _sinks(settings, role)
    trail = Trail(_author(settings, role), _launcher(), sinks)
    if syslog is not None:
        syslog.start()
    trail.start()
    return trail


def command_trail(settings: Settings) -> Trail:
    """The trail of one command; what it spools, a role sends.

    Raises
    ------
    ConfigError
        As of ``role_trail``: what could not be audited is not done.
    """
    log.configure(settings.log, "cli", lasting=False)
    sinks, _ = _sinks(settings, "cli")
    return Trail(_author(settings, "cli"), _launcher(), sinks)


def audit_places(settings: Settings) -> list[str]:
    """Where the trail goes, for people to read; nothing if there is none."""
    section, found = settings.audit, list[str]()
    if section.file:
        found.append(str(settings.node.data_dir / section.file))
    if section.syslog_host:
        found.append(f"{section.syslog_host}:{section.syslog_port} (TLS)")
    return found


def syslog_server(section: AuditSection) -> Server | None:
    """The audit server of the settings; None if there is none."""
    if not section.syslog_host:
        return None
    return Server(
        host=section.syslog_host,
        port=section.syslog_port,
        ca=Path(section.ca) if section.ca else None,
        certificate=Path(section.certificate) if section.certificate else None,
        key=Path(section.key) if section.key else None,
    )


def _sinks(settings: Settings, role: str) -> tuple[list[Sink], SyslogSink | None]:
    section, sinks = settings.audit, list[Sink]()
    if section.file:
        path = settings.node.data_dir / section.file
        try:
            sinks.append(FileSink(path, int(section.file_megabytes * 1_000_000)))
        except OSError as error:
            raise ConfigError(f"audit.file: {path}: {error.strerror}") from error
    server = syslog_server(section)
    if server is None:
        return sinks, None
    syslog = _syslog(settings, role, server)
    return [*sinks, syslog], syslog


def _syslog(settings: Settings, role: str, server: Server) -> SyslogSink:
    section = settings.audit
    try:
        server.context()  # to say at the start what is wrong with a file
    except OSError as error:
        raise ConfigError(
            f"audit: ca, certificate or key cannot be used: {error.strerror or error}"
        ) from error
    folder = settings.node.data_dir / "audit" / "spool"
    try:
        spool = Spool(
            folder, int(section.spool_megabytes * 1_000_000), section.spool_days * _DAY_SECONDS
        )
    except OSError as error:
        raise ConfigError(f"audit: {folder}: {error.strerror}") from error
    header = Header(host=_host(), application="wetread", process=f"{role}-{os.getpid()}")
    author = _author(settings, role)

    def tell_lost(count: int) -> bytes:
        message = author.lost(datetime.now(UTC), count, folder.as_uri())
        return header.line(message.xml(), message.event.at)

    return SyslogSink(header, spool, server, tell_lost)


def _author(settings: Settings, role: str) -> Author:
    section, host = settings.audit, _host()
    return Author(
        source=Source(
            source_id=section.source_id or settings.node.ae_title,
            enterprise_site=section.enterprise_site,
        ),
        process=Participant(
            # As the leases in the database begin, so that both can be laid side by side.
            user_id=f"{host}:{role}:{os.getpid()}",
            ae_title=settings.node.ae_title,
            name=f"wetread {role}",
            address=host,
        ),
    )


def _launcher() -> Person:
    """The user of this process, as the operating system knows it; variables may say anything."""
    uid = os.getuid()
    login = _login_uid()
    behind = f"{_user(login)}@{_host()}" if login not in (None, uid) else ""
    return Person(user_id=f"{_user(uid)}@{_host()}", login=behind)


def _login_uid() -> int | None:
    """Who logged in, though it be behind ``sudo``; None where the kernel does not tell."""
    with suppress(OSError, ValueError):
        login = int(Path("/proc/self/loginuid").read_text())
        return None if login == _NO_LOGIN else login
    return None


def _user(uid: int | None) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid if uid is not None else os.getuid()).pw_name
    return f"uid{uid}"


def _host() -> str:
    return socket.gethostname()[:64]
