"""C-STORE: bytes to the archive, row to the table, then Success."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydicom.uid import UID
from sqlalchemy.exc import SQLAlchemyError

from db import studies
from db.archive import Archive
from db.committer import Committer
from db.engine import Database
from db.errors import where
from db.studies import Arriving, StoredInstance
from dimse.command import StoreRequest
from dimse.part10 import file_header
from scp import resend
from scp.access import Admitted, Caller
from scp.header import Header, HeaderError, read_header
from scp.observer import Observer, Unobserved
from scp.settings import ReceiverSettings
from scp.spool import Piece, SpoolFile
from scp.status import Answer, StoreStatus

_log = structlog.get_logger(__name__)
_UID_LETTERS = 64  # PS3.5 section 9.1


@dataclass
class Session:
    """One association, as far as storing needs to know it.

    Attributes
    ----------
    caller, admitted
        Who sends, and what it may send.
    study_uids
        The studies that it sent instances of.
    stored, refused
        How many C-STORE requests were answered with Success, and how many were not.
    """

    caller: Caller
    admitted: Admitted = field(default_factory=Admitted)
    study_uids: set[str] = field(default_factory=set)
    stored: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Context:
    """An accepted presentation context."""

    sop_class_uid: str
    transfer_syntax: UID


class Reception(Protocol):
    """One data set on its way in. Never raises: what goes wrong is answered."""

    def write(self, pieces: Sequence[Piece]) -> None:
        """Take bytes of the data set."""
        ...

    def finish(self) -> Answer:
        """Say what became of it, after its last byte."""
        ...

    def discard(self) -> None:
        """Tidy up, after ``finish`` or where the rest will not come; the answer need not wait."""
        ...


class Refused:
    """A data set that is read and thrown away, for the peer cannot be stopped in the middle."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def write(self, pieces: Sequence[Piece]) -> None:
        """Throw bytes away."""

    def finish(self) -> Answer:
        """Say why."""
        return self._answer

    def discard(self) -> None:
        """Nothing was kept."""


class Store:
    """Stores instances durably.

    Parameters
    ----------
    database, archive
        Where rows and files go.
    settings
        Quiet times.
    observer
        Is told of each answer.
    room
        Says whether the disk has room for another data set; None for always.
    """

    def __init__(
        self,
        database: Database,
        archive: Archive,
        settings: ReceiverSettings,
        observer: Observer | None = None,
        room: Callable[[], bool] | None = None,
    ) -> None:
        self.database = database
        self.archive = archive
        self.settings = settings
        self.committer = Committer(database, archive)
        self._observer = observer or Unobserved()
        self._room = room

    def begin(self, request: StoreRequest, context: Context, session: Session) -> Reception:
        """Begin to receive what a C-STORE request announces.

        The reception's answer is one of these:

        * 0x0000: the file is fsynced and its row committed, or both were before;
        * 0x0110: a fault of ours, logged; the association goes on;
        * 0x0122: the SOP class is not that of the context, or not allowed to this peer;
        * 0xA700: the disk or the database refuses, or the object is too large for this peer;
        * 0xA900: the data set contradicts the command;
        * 0xC000: the data set cannot be read or lacks a UID;
        * 0xC001: another data set is stored under this SOP Instance UID.
        """
        try:
            answer = _not_allowed(request, context, session.admitted) or self.no_room()
            if answer is None:
                return _Receiving(self, request, context, session)
        except OSError as error:
            answer = _cannot_store(error)
        except Exception as error:  # noqa: BLE001 - what is not foreseen must not pass unseen
            answer = fault(error)
        return Refused(self.answered(answer, request, session))

    def no_room(self) -> Answer | None:
        """The answer to what would fill the disk; None while there is room."""
        if self._room is None or self._room():
            return None
        return Answer(StoreStatus.OUT_OF_RESOURCES, "the disk is nearly full")

    def answered(
        self,
        answer: Answer,
        request: StoreRequest,
        session: Session,
        header: Header | None = None,
    ) -> Answer:
        """Log an answer, tell the observer, and give it back."""
        caller = session.caller.calling_ae
        if answer.status is not StoreStatus.SUCCESS:
            session.refused += 1
            _log.warning(
                "instance.refused",
                status=f"{answer.status:04X}",
                reason=answer.comment,
                sop_class_uid=request.sop_class_uid[:_UID_LETTERS],  # a peer may send 64 kB
                calling_ae=caller,
            )
        try:
            self._observer.received(session.caller, session.admitted, header, answer)
        except Exception as error:  # noqa: BLE001 - an observer must not cost an image
            _log.error("observer.trouble", error=where(error))
        return answer


class _Receiving:
    """One data set on its way to the disk."""

    def __init__(
        self, store: Store, request: StoreRequest, context: Context, session: Session
    ) -> None:
        self._store = store
        self._request = request
        self._context = context
        self._session = session
        self._header: Header | None = None
        self._answer: Answer | None = None  # decided before the end
        self._file = SpoolFile(
            store.archive.partial_path(),
            file_header(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax=context.transfer_syntax,
                calling_ae=session.caller.calling_ae,
            ),
        )

    def write(self, pieces: Sequence[Piece]) -> None:
        if self._answer is not None:
            return
        limit = self._session.admitted.object_bytes
        try:
            self._file.write(pieces)
        except OSError as error:
            self._give_up(_cannot_store(error))
            return
        answer = self._store.no_room()
        if limit is not None and self._file.size > limit:
            answer = Answer(StoreStatus.OUT_OF_RESOURCES, f"larger than the {limit} bytes allowed")
        if answer is not None:
            self._give_up(answer)

    def finish(self) -> Answer:
        if self._answer is None:
            self._answer = self._checked_and_kept()
        answer = self._answer
        return self._store.answered(answer, self._request, self._session, self._header)

    def discard(self) -> None:
        self._file.discard()

    def _give_up(self, answer: Answer) -> None:
        self._answer = answer
        self._file.discard()  # frees the disk at once

    def _checked_and_kept(self) -> Answer:
        try:
            self._header = read_header(
                self._file.head, self._context.transfer_syntax, self._file.read_start
            )
            return self._contradiction(self._header) or self._keep(self._header)
        except HeaderError as error:
            return Answer(StoreStatus.CANNOT_UNDERSTAND, str(error))
        except (OSError, SQLAlchemyError) as error:
            return _cannot_store(error)
        except Exception as error:  # noqa: BLE001 - what is not foreseen must not pass unseen
            return fault(error)

    def _contradiction(self, header: Header) -> Answer | None:
        if header.sop_class_uid != self._request.sop_class_uid:
            return Answer(StoreStatus.CLASS_MISMATCH, "SOP Class UID differs")
        if header.sop_instance_uid != self._request.sop_instance_uid:
            comment = "SOP Instance UID differs from the command's"
            return Answer(StoreStatus.CLASS_MISMATCH, comment)
        return None

    def _keep(self, header: Header) -> Answer:
        """Store the file unless its UID is known; the order of steps is argued in ADR 0001."""
        archive, uid = self._store.archive, header.sop_instance_uid
        path = archive.instance_path(header.study_uid, uid)
        known = None
        if not archive.claim(self._file.path, path):
            known = self._stored(uid)
        if known is None:
            self._sync(path)
            arriving = Arriving(
                self._instance(header, path), self._store.settings.quiet(header.modality)
            )
            if self._store.committer.commit(arriving, self._file.path):
                return self._success(header, "new")
            # If the name was free although the UID is known, the stored file is missing.
            archive.unclaim(self._file.path, path)
            known = self._stored(uid)
        return self._answer_known(header, known)

    def _sync(self, path: str) -> None:
        try:
            self._file.sync()
        except OSError:
            self._store.archive.unclaim(self._file.path, path)
            raise

    def _answer_known(self, header: Header, known: StoredInstance | None) -> Answer:
        """Compare what came with what is stored under its UID."""
        if known is None:  # deleted this moment; the sender may try again
            return Answer(StoreStatus.OUT_OF_RESOURCES, "cannot store: deleted meanwhile")
        found = resend.compare(
            self._store.archive, self._file, known, str(self._context.transfer_syntax)
        )
        if found is resend.Resent.OTHER:
            resend.set_aside(self._store.archive, self._file, known.sop_instance_uid)
            return Answer(
                StoreStatus.UID_CONFLICT, "other bytes under a known UID; set aside in conflicts/"
            )
        if found is resend.Resent.MISSING:
            self._lose(known)
            return self._keep(header)
        return self._success(header, found.value)

    def _success(self, header: Header, arrival: str) -> Answer:
        self._session.study_uids.add(header.study_uid)
        self._session.stored += 1
        # One line per association says how many; a CT would be two thousand lines.
        _log.debug(
            "instance.stored",
            arrival=arrival,
            own=header.own,
            sop_instance_uid=header.sop_instance_uid,
            study_uid=header.study_uid,
            calling_ae=self._session.caller.calling_ae,
        )
        return Answer(StoreStatus.SUCCESS, known=arrival != "new")

    def _stored(self, sop_instance_uid: str) -> StoredInstance | None:
        with self._store.database.read() as connection:
            return studies.stored(connection, sop_instance_uid)

    def _lose(self, known: StoredInstance) -> None:
        """Say that a stored file is gone, so that what came is new and makes its study due."""
        with self._store.database.write() as connection:
            lost = studies.lose(connection, [known.sop_instance_uid])
        if lost:  # else retention took it this moment
            _log.error(
                "instance.lost",
                sop_instance_uid=known.sop_instance_uid,
                study_uid=known.study_uid,
                path=known.path,
            )

    def _instance(self, header: Header, path: str) -> StoredInstance:
        return StoredInstance(
            sop_instance_uid=header.sop_instance_uid,
            study_uid=header.study_uid,
            series_uid=header.series_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=str(self._context.transfer_syntax),
            modality=header.modality,
            own=header.own,
            size=self._file.file_size,
            digest="",
            path=path,
            calling_ae=self._session.caller.calling_ae,
        )


def fault(error: Exception) -> Answer:
    """Log what nobody foresaw; the answer to the peer."""
    _log.error("store.trouble", error=where(error))
    return Answer(StoreStatus.PROCESSING_FAILURE, type(error).__name__)


def _not_allowed(request: StoreRequest, context: Context, admitted: Admitted) -> Answer | None:
    if not request.has_data_set:
        return Answer(StoreStatus.CANNOT_UNDERSTAND, "there is no data set")
    if request.sop_class_uid != context.sop_class_uid:
        comment = "SOP class is not that of the presentation context"
        return Answer(StoreStatus.NOT_SUPPORTED, comment)
    allowed = admitted.sop_classes
    if allowed is not None and request.sop_class_uid not in allowed:
        return Answer(StoreStatus.NOT_SUPPORTED, "SOP class is not allowed to this peer")
    return None


def _cannot_store(error: OSError | SQLAlchemyError) -> Answer:
    # The texts of database errors carry statements and values: say the type alone.
    detail = error.strerror if isinstance(error, OSError) else None
    reason = f"cannot store: {detail or type(error).__name__}"
    return Answer(StoreStatus.OUT_OF_RESOURCES, reason)
