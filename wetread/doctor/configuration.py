"""The settings file and the files that it names: who may read them, and what goes over them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from wetread import certificates
from wetread.certificates import TlsFiles
from wetread.config import Settings
from wetread.doctor.finding import Finding, failed, ok, skipped, warning
from wetread.doctor.surroundings import Surroundings
from wetread.origin import ConfigError

_OVER = tuple(f"WETREAD_{section.upper()}" for section in Settings.model_fields)


def settings(surroundings: Surroundings) -> Iterator[Finding]:
    """The file itself; it was read and judged before any check runs."""
    file, read = surroundings.file, surroundings.settings
    if file is None:
        yield warning(
            "file",
            "there is none: the defaults hold",
            "write one with 'wetread config init', or name it with -c",
        )
    elif certificates.readable_by_all(str(file)):
        yield warning(
            "file",
            f"{file}: every user of this machine may read it, and it may hold a password",
            f"chmod o-r {file}",
        )
    else:
        yield ok("file", f"{file}: every key is known and every value allowed")
    over = sorted(name for name in os.environ if name.upper().partition("__")[0] in _OVER)
    if over:
        # Names only: a value may be a password.
        yield ok("environment", f"goes over the file: {', '.join(over)}")
    if not read.peer:
        yield warning(
            "peers",
            f"none is listed: everyone who calls {read.node.ae_title} may send",
            "list who may send as [[peer]]",
        )
    if not read.destination:
        yield warning(
            "destinations", "none is listed: results go nowhere", "list the PACS as [[destination]]"
        )


def files(surroundings: Surroundings) -> Iterator[Finding]:
    """Certificates, keys and secrets: whether they can be used, until when, and who reads them."""
    given = [each for each in _tls_files(surroundings.settings) if each[1] != TlsFiles()]
    secrets = [each for each in surroundings.settings.destination if each.secret_file]
    for name, each in given:
        yield from _judged(name, each)
    for destination in secrets:
        yield from _secret(f"destination {destination.name}", destination.secret_file)
    if not given and not secrets:
        yield skipped("files", "the settings name no certificate, key or secret")


def _tls_files(read: Settings) -> Iterator[tuple[str, TlsFiles]]:
    yield "tls", certificates.receiver_files(read)
    for each in read.destination:
        yield f"destination {each.name}", certificates.delivery_files(each)
    yield "audit", certificates.audit_files(read)


def _judged(name: str, given: TlsFiles) -> Iterator[Finding]:
    try:
        certificates.check(given)
        ends = {file: certificates.end(file) for file in certificates.names([given])}
    except ConfigError as error:
        yield failed(
            name,
            str(error),
            "put a valid file there (certificate and key belong together) and start the roles "
            "again; docs/security.md shows how",
        )
        return
    if certificates.exposed(given):
        yield warning(
            name,
            f"{given.key}: every user of this machine may read this private key",
            f"chmod 600 {given.key}; renew it if others have accounts here",
        )
    now = datetime.now(UTC)
    for file, end in ends.items():
        days = (end - now).days
        until = f"{file}: valid until {end:%Y-%m-%d}, {days} days"
        if days < certificates.WARN_DAYS:
            yield warning(name, until, "ask for a new certificate now, and put it into its place")
        else:
            yield ok(name, until)


def _secret(name: str, file: str) -> Iterator[Finding]:
    try:
        exposed = certificates.readable_by_all(file)
    except OSError as error:
        yield failed(name, f"{file}: {error.strerror}", "put the file with the secret there")
        return
    if exposed:
        yield warning(
            name, f"{file}: every user of this machine may read this secret", f"chmod 600 {file}"
        )
    else:
        yield ok(name, f"{file}: only its owner and group may read this secret")
