"""Reports of storage commitment, on associations of our own (PS3.4 section J.3.3)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from db import commitment
from db.archive import Archive
from db.commitment import Claimed
from db.engine import Database
from db.errors import LeaseLost
from db.retry import RetryPolicy
from db.verdict import PUSH_MODEL, PUSH_MODEL_INSTANCE, Verdict, judge, report, taken
from delivery import turns
from delivery.associate import NoAssociation, Peer, associate

_log = structlog.get_logger(__name__)
_TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class ReporterSettings:
    """Settings of one reporter.

    Attributes
    ----------
    owner
        Name under which leases are held, different for every reporter.
    lease_seconds
        A reporter that is silent for this long has lost its report.
    retry
        What happens after a failure.
    """

    owner: str
    lease_seconds: float
    retry: RetryPolicy


class Reporter:
    """Serves each requester from a thread of its own, so that a slow one delays no other.

    Parameters
    ----------
    settings
        See ``ReporterSettings``.
    database, archive
        The requests, and what they ask about.
    peers
        Where requesters are, by AE title. A request of anybody else is given up with that reason.
    """

    def __init__(
        self,
        settings: ReporterSettings,
        database: Database,
        archive: Archive,
        peers: Mapping[str, Peer],
    ) -> None:
        self._settings = settings
        self._database = database
        self._archive = archive
        self._peers = peers

    def run(self, stop: threading.Event) -> None:
        """Report until ``stop`` is set; the report at hand is finished first."""
        work = {f"commitment-{title}": partial(self.report_once, title) for title in self._peers}
        turns.run({"commitment": self.strand, **work}, stop, _POLL_SECONDS)

    def strand(self) -> bool:
        """Give up the requests of senders whose address is not known; False if there was none."""
        with self._database.read() as connection:
            if not commitment.any_stranded(connection, self._peers):
                return False
        with self._database.write() as connection:
            stranded = commitment.strand(connection, self._peers)
        for commitment_id, calling_ae in stranded:
            _log.warning(
                "commitment.dead",
                commitment_id=commitment_id,
                calling_ae=calling_ae,
                reason=commitment.no_address(calling_ae),
            )
        return bool(stranded)

    def report_once(self, title: str) -> bool:
        """Report one request of a sender; False if none was due."""
        settings = self._settings
        with self._database.read() as connection:
            if not commitment.claimable(connection, title):
                return False
        with self._database.write() as connection:
            claimed = commitment.claim(
                connection, title, settings.owner, settings.lease_seconds, settings.retry
            )
        if claimed is None:
            return False
        with self._database.read() as connection:
            verdict = judge(connection, self._archive, claimed)
        self._record(claimed, verdict, self._tell(self._peers[title], claimed, verdict))
        return True

    def _tell(self, peer: Peer, claimed: Claimed, verdict: Verdict) -> str:
        """Send the report; return why that failed, empty if it did not."""
        event_type, information = report(claimed, verdict)
        contexts = [(PUSH_MODEL, _TRANSFER_SYNTAXES)]
        try:
            # The requester calls for commitment as SCU, so here, where we call, we are the SCP.
            with associate(peer, contexts, as_scp=[PUSH_MODEL]) as association:
                answer, _ = association.send_n_event_report(
                    information, int(event_type), PUSH_MODEL, PUSH_MODEL_INSTANCE
                )
        except NoAssociation as error:
            return str(error)
        except (RuntimeError, ValueError, AttributeError):
            return f"{peer}: the association ended before the report was sent"
        if "Status" not in answer:
            return f"{peer}: no answer to the report"
        status = int(answer.Status)
        return "" if taken(status) else f"{peer}: status {status:04X} for the report"

    def _record(self, claimed: Claimed, verdict: Verdict, reason: str) -> None:
        details = {
            "commitment_id": claimed.commitment_id,
            "calling_ae": claimed.calling_ae,
            "attempt": claimed.attempt,
        }
        try:
            with self._database.write() as connection:
                if reason:
                    state = commitment.fail(connection, claimed, reason, self._settings.retry)
                else:
                    commitment.reported(connection, claimed, verdict)
        except LeaseLost:
            _log.warning("commitment.discarded", **details)
            return
        if reason:
            _log.warning(f"commitment.{state.value}", reason=reason, **details)
        else:
            failed = sum(each is not None for each in verdict)
            _log.info("commitment.reported", failed=failed, association="new", **details)
