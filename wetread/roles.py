"""What each process does: receive, work, deliver, tidy, web. Each runs until it is told to stop.

Each role imports only what it needs: the receiver loads no model runtime.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import FrameType

import structlog

from audit.trail import NO_TRAIL, Trail
from db import migrate
from db.archive import Archive
from db.engine import Database
from db.errors import where
from db.retention import Retention
from db.retry import RetryPolicy
from scp.settings import ReceiverSettings
from wetread import log
from wetread.config import Settings
from wetread.origin import SUPERVISED
from wetread.presence import SILENT, Presence, present
from wetread.schema_watch import watched_schema
from wetread.trails import role_trail

READY = "ready"
_LOOK_SECONDS = 10.0  # between two looks for what may be removed

_log = structlog.get_logger(__name__)


def receive(
    settings: Settings,
    stop: threading.Event,
    trail: Trail = NO_TRAIL,
    _presence: Presence = SILENT,
) -> None:
    """Run one C-STORE and storage commitment SCP."""
    from scp.commitment import CommitmentSettings, commitment_handlers
    from scp.disk import MEGABYTE, DiskGuard
    from scp.server import Receiver
    from wetread import certificates
    from wetread.auditing import ReceptionAudit, patient_of
    from wetread.listeners import listeners, tls_context
    from wetread.requesters import known_titles

    tls, gate = tls_context(settings), settings.gate()
    if not settings.peer:
        _log.warning("receiver.open_to_all", advice="list who may send as [[peer]]")
    archive = Archive(settings.node.data_dir)
    swept = archive.sweep()
    if swept:
        _log.info("archive.swept", files=swept)
    database = open_database(settings)
    commitment = commitment_handlers(
        database,
        archive,
        CommitmentSettings(
            owner=owner("receive"),
            known_titles=known_titles(settings),
            retry=_delivery_retry(settings),
        ),
    )
    room = DiskGuard(settings.node.data_dir, settings.node.free_megabytes * MEGABYTE)
    with ExitStack() as receivers:
        observer = receivers.enter_context(ReceptionAudit(trail, archive, patient_of(settings)))
        for each in listeners(settings):
            receiver = Receiver(
                replace(receiver_settings(settings), port=each.port),
                database,
                archive,
                gate=gate,
                tls=tls if each.secured else None,
                contexts=commitment.contexts,
                handlers=commitment.handlers,
                room=room,
                observer=observer,
            )
            receivers.enter_context(receiver)
        certificates.watch(
            [certificates.receiver_files(settings), certificates.audit_files(settings)], stop
        )
        announce_ready()
        stop.wait()


def work(
    settings: Settings,
    stop: threading.Event,
    _trail: Trail = NO_TRAIL,
    presence: Presence = SILENT,
) -> None:
    """Run one worker."""
    from inference.package import find_packages
    from inference.worker import Worker, WorkerSettings
    from wetread.gpu import gpus
    from wetread.profiles import profile

    packages = find_packages(settings.model_folders(), settings.models.disabled)
    worker = Worker(
        WorkerSettings(
            owner=owner("work"),
            profiles=tuple(profile(each) for each in settings.destination),
            lease_seconds=settings.worker.lease_seconds,
            retry=RetryPolicy(
                attempts=settings.worker.attempts,
                first_seconds=settings.worker.retry_seconds,
                longest_seconds=settings.worker.retry_longest_seconds,
            ),
            limits=settings.models.concurrency,
            batch=settings.worker.batch,
            urgent_callers=frozenset(each.ae_title for each in settings.peer if each.urgent),
        ),
        open_database(settings),
        Archive(settings.node.data_dir),
        packages,
    )
    presence.say(
        models=[
            {"name": ref.name, "version": ref.version, "provider": provider}
            for ref, provider in worker.providers.items()
        ],
    )
    presence.watch("gpus", gpus)
    announce_ready()
    worker.run(stop)


def deliver(
    settings: Settings,
    stop: threading.Event,
    trail: Trail = NO_TRAIL,
    presence: Presence = SILENT,
) -> None:
    """Run one courier: results to destinations, reports of storage commitment to who asked.

    And requests for storage commitment to destinations that are to commit.
    """
    from delivery.asking import Asker, AskerSettings
    from delivery.commitment import Reporter, ReporterSettings
    from delivery.courier import Courier, CourierSettings
    from wetread import certificates
    from wetread.auditing import DeliveryAudit, audited_peers, patient_of
    from wetread.destinations import destinations
    from wetread.peers import destination_peer
    from wetread.requesters import requesters

    archive = Archive(settings.node.data_dir)
    database = open_database(settings)
    audit = DeliveryAudit(trail, archive, patient_of(settings), audited_peers(settings))
    reporter = Reporter(
        ReporterSettings(
            owner=owner("deliver"),
            lease_seconds=settings.delivery.lease_seconds,
            retry=_delivery_retry(settings),
        ),
        database,
        archive,
        requesters(settings),
    )
    courier = Courier(
        CourierSettings(
            owner=owner("deliver"),
            lease_seconds=settings.delivery.lease_seconds,
            batch=settings.delivery.batch,
            retry=_delivery_retry(settings),
        ),
        database,
        destinations(settings, archive),
        audit,
    )
    asker = Asker(
        AskerSettings(
            patience_seconds=settings.delivery.commitment_seconds, retry=_delivery_retry(settings)
        ),
        database,
        {
            each.name: destination_peer(settings, each)
            for each in settings.destination
            if each.commitment
        },
        audit,
    )
    presence.say(destinations=[each.name for each in settings.destination])
    certificates.watch(map(certificates.delivery_files, settings.destination), stop)
    beside = [threading.Thread(target=each.run, args=(stop,)) for each in (reporter, asker)]
    for thread in beside:
        thread.start()
    announce_ready()
    courier.run(stop)
    for thread in beside:
        thread.join()


def tidy(
    settings: Settings,
    stop: threading.Event,
    trail: Trail = NO_TRAIL,
    _presence: Presence = SILENT,
) -> None:
    """Remove what ``[storage]`` does not want kept."""
    from sqlalchemy.exc import SQLAlchemyError

    retention = open_retention(settings, open_database(settings), trail)
    announce_ready()
    while not stop.is_set():
        try:
            retention.run_once(stop)
        except (OSError, SQLAlchemyError) as error:  # the disk or the database may be away
            _log.error("retention.trouble", error=where(error))
        stop.wait(_LOOK_SECONDS)


def web(
    settings: Settings,
    stop: threading.Event,
    trail: Trail = NO_TRAIL,
    _presence: Presence = SILENT,
) -> None:
    """Serve the dashboard, and answer ``wetread status``."""
    from wetread import certificates
    from wetread.answering import answering
    from wetread.web.app import application
    from wetread.web.serving import Server

    certificates.watch([certificates.web_files(settings)], stop)
    database, archive = open_database(settings), Archive(settings.node.data_dir)
    with (
        Server(settings, application(settings, database, archive, trail)) as server,
        answering(settings, database),
    ):
        announce_ready()
        server.run(stop)


ROLES: dict[str, Callable[[Settings, threading.Event, Trail, Presence], None]] = {
    "receive": receive,
    "work": work,
    "deliver": deliver,
    "tidy": tidy,
    "web": web,
}


def run(role: str, settings: Settings) -> None:
    """Run a role until SIGTERM, SIGINT, or the supervisor is gone.

    Raises
    ------
    SchemaError
        A newer version has written the database, before or meanwhile.
    """
    log.configure(settings.log, role, file=settings.log_file())
    stop = threading.Event()
    stop_on_signals(stop)
    if os.environ.get(SUPERVISED):
        threading.Thread(target=_stop_with_supervisor, args=(stop,), daemon=True).start()
    with (
        role_trail(settings, role) as trail,
        watched_schema(settings.database.url, stop),
        present(settings.database.url, role, owner(role)) as presence,
    ):
        trail.started()
        try:
            ROLES[role](settings, stop, trail, presence)
        finally:
            trail.stopped()
    _log.info("role.stopped")


def stop_on_signals(stop: threading.Event) -> None:
    """Set ``stop`` on SIGTERM and SIGINT."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def announce_ready() -> None:
    """Say on standard output that this role does its work from now on."""
    print(READY, flush=True)  # noqa: T201 - what the supervisor and scripts wait for


def open_database(settings: Settings) -> Database:
    """Open the database and bring its schema up to date."""
    database = Database(settings.database.url)
    migrate.upgrade(database)
    return database


def open_retention(
    settings: Settings, database: Database, trail: Trail, *, by_hand: bool = False
) -> Retention:
    """What removes the files that the settings do not keep, and tells the audit trail."""
    from scp.disk import free_bytes
    from wetread.auditing import RetentionAudit, patient_of

    archive = Archive(settings.node.data_dir)
    return Retention(
        settings.storage.policy(),
        database,
        archive,
        partial(free_bytes, settings.node.data_dir),
        RetentionAudit(trail, archive, patient_of(settings), by_hand=by_hand),
    )


def receiver_settings(settings: Settings) -> ReceiverSettings:
    """What the receiver must know."""
    quiet = dict(settings.study.quiet_seconds)
    return ReceiverSettings(
        ae_title=settings.node.ae_title,
        host=settings.node.host,
        port=settings.node.port,
        quiet_seconds_default=quiet.pop("default"),
        quiet_seconds=quiet,
        release_seconds=settings.study.release_seconds,
        share_port=settings.node.receivers > 1,
    )


def _delivery_retry(settings: Settings) -> RetryPolicy:
    return RetryPolicy(
        attempts=settings.delivery.attempts,
        first_seconds=settings.delivery.retry_seconds,
        longest_seconds=settings.delivery.retry_longest_seconds,
    )


def owner(role: str) -> str:
    """Name for leases that no other process bears."""
    return f"{socket.gethostname()[:64]}:{role}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _stop_with_supervisor(stop: threading.Event) -> None:
    """Wait for the end of standard input, which the supervisor holds open while it lives."""
    # Not sys.stdin: its lock would be held by this thread when the interpreter leaves.
    while os.read(0, 1):
        pass
    stop.set()
