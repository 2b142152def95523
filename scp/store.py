"""C-STORE: bytes to the archive, row to the table, then Success."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO

import structlog
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from sqlalchemy.exc import SQLAlchemyError

from db import outbox, studies
from db.archive import Archive
from db.engine import Database
from db.studies import Arrival, StoredInstance
from scp.header import Header, HeaderError, read_header
from scp.settings import ReceiverSettings
from scp.status import StoreStatus, response

IMPLEMENTATION_CLASS_UID = UID("2.25.151818344662683678200917921992779718210")
IMPLEMENTATION_VERSION = "WETREAD_0_1"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Received:
    """One C-STORE request: what the command said, and the data set's bytes as they came."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: UID
    calling_ae: str
    data_set: BytesIO


class Store:
    """Stores instances durably.

    Parameters
    ----------
    database, archive
        Where rows and files go.
    settings
        Quiet times.
    """

    def __init__(self, database: Database, archive: Archive, settings: ReceiverSettings) -> None:
        self._database = database
        self._archive = archive
        self._settings = settings

    def store(self, received: Received) -> tuple[Dataset, str | None]:
        """Store one instance.

        Returns
        -------
        tuple
            The response's status data set, and the study's UID if the instance is here now.

            * 0x0000: the file is fsynced and its row committed, or both were before;
            * 0xA700: the disk or the database refuses;
            * 0xA900: the data set contradicts the command;
            * 0xC000: the data set cannot be read or lacks a UID;
            * 0xC001: another data set is stored under this SOP Instance UID.
        """
        try:
            header = read_header(received.data_set, received.transfer_syntax)
        except HeaderError as error:
            return self._refuse(received, StoreStatus.CANNOT_UNDERSTAND, str(error)), None
        if header.sop_class_uid != received.sop_class_uid:
            return self._refuse(received, StoreStatus.CLASS_MISMATCH, "SOP Class UID differs"), None
        if header.sop_instance_uid != received.sop_instance_uid:
            comment = "SOP Instance UID differs from the command's"
            return self._refuse(received, StoreStatus.CLASS_MISMATCH, comment), None
        try:
            arrival = self._keep(received, header)
        except (OSError, SQLAlchemyError) as error:
            # The texts of database errors carry statements and values: log the type alone.
            detail = error.strerror if isinstance(error, OSError) else None
            reason = f"cannot store: {detail or type(error).__name__}"
            return self._refuse(received, StoreStatus.OUT_OF_RESOURCES, reason), None
        if arrival is Arrival.CONFLICT:
            comment = "another data set is stored under this SOP Instance UID"
            return self._refuse(received, StoreStatus.UID_CONFLICT, comment), None
        _log.info(
            "instance.stored",
            arrival=arrival.value,
            own=header.own,
            sop_instance_uid=header.sop_instance_uid,
            study_uid=header.study_uid,
            calling_ae=received.calling_ae,
        )
        return response(StoreStatus.SUCCESS), header.study_uid

    def _keep(self, received: Received, header: Header) -> Arrival:
        content = received.data_set.getbuffer()
        digest = hashlib.sha256(content).hexdigest()
        with self._database.read() as connection:
            arrival = studies.known(connection, header.sop_instance_uid, digest)
            own = header.own or outbox.own_instance(connection, header.sop_instance_uid)
        if arrival is not Arrival.NEW:
            return arrival
        path = self._archive.instance_path(header.study_uid, header.sop_instance_uid)
        with self._archive.stage([_part10_header(received), content]) as staged:
            instance = StoredInstance(
                sop_instance_uid=header.sop_instance_uid,
                study_uid=header.study_uid,
                series_uid=header.series_uid,
                sop_class_uid=header.sop_class_uid,
                transfer_syntax_uid=str(received.transfer_syntax),
                modality=header.modality,
                own=own,
                size=staged.size,
                digest=digest,
                path=path,
                calling_ae=received.calling_ae,
            )
            quiet_seconds = self._settings.quiet(header.modality)
            with self._database.write() as connection:
                arrival = studies.record(connection, instance, quiet_seconds)
                if arrival is Arrival.NEW:
                    # The uncommitted row keeps everybody else away from this path.
                    staged.publish(path)
        return arrival

    @staticmethod
    def _refuse(received: Received, status: StoreStatus, reason: str) -> Dataset:
        _log.warning(
            "instance.refused",
            status=f"{status:04X}",
            reason=reason,
            sop_class_uid=received.sop_class_uid,
            calling_ae=received.calling_ae,
        )
        return response(status, reason)


def _part10_header(received: Received) -> bytes:
    """Preamble and file meta information (PS3.10 section 7.1) for the bytes as received."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(received.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(received.sop_instance_uid)
    meta.TransferSyntaxUID = received.transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    meta.SourceApplicationEntityTitle = received.calling_ae
    buffer = DicomBytesIO()
    buffer.write(b"\x00" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()
