"""Sends DICOM files: byte for byte where the peer takes their transfer syntax."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from delivery.associate import ANSWER_SECONDS, Peer, associate
from delivery.sender import LostAssociation, Sender
from dimse.part10 import META_BYTES, read_meta

_CONTEXT_LIMIT = 128  # PS3.8 section 9.3.2.2: odd context IDs up to 255


@dataclass(frozen=True, kw_only=True)
class SendOutcome:
    """What became of one file.

    Attributes
    ----------
    path
        As given.
    sop_instance_uid
        Empty if the file is no DICOM instance.
    status
        C-STORE status, None if none came or the file was not sent.
    reason
        Empty if it was stored.
    """

    path: Path
    sop_instance_uid: str = ""
    status: int | None = None
    reason: str = ""

    @property
    def stored(self) -> bool:
        """Whether the peer has it now."""
        return not self.reason


@dataclass(frozen=True)
class _File:
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str

    @property
    def context(self) -> tuple[str, str]:
        return self.sop_class_uid, self.transfer_syntax


def stored(status: int | None) -> bool:
    """Success, or a warning that nevertheless stored the object (PS3.4 Annex B.2.3)."""
    return status is not None and (status == 0 or status >> 12 == 0xB)


def store(association: Association, sender: Sender, path: Path) -> int | None:
    """Send one file: as it is, or encoded anew where the peer does not take it so.

    Returns
    -------
    int or None
        The C-STORE status; None if the peer did not answer.

    Raises
    ------
    LostAssociation
        The association ended before an answer.
    ValueError
        The peer took neither the file's transfer syntax nor one it can be converted to.
    OSError, InvalidDicomError
        The file cannot be read.
    """
    with contextlib.suppress(ValueError):
        return sender.store(path)
    data_set = dcmread(path, force=True)
    sender.give_back()
    answer = association.send_c_store(data_set)
    return int(answer.Status) if "Status" in answer else None


def echo(peer: Peer) -> int | None:
    """Verify a peer with C-ECHO; return the status, None if it did not answer.

    Raises
    ------
    NoAssociation
        No association could be opened.
    """
    with associate(peer, [(Verification, [ImplicitVRLittleEndian])]) as association:
        answer = association.send_c_echo()
        return int(answer.Status) if "Status" in answer else None


def send(peer: Peer, paths: Iterable[Path]) -> Iterator[SendOutcome]:
    """Send files and folders (recursively); yields one outcome per file.

    Raises
    ------
    NoAssociation
        No association could be opened.
    """
    files = []
    for path in expand(paths):
        read = _read(path)
        if isinstance(read, _File):
            files.append(read)
        else:
            yield read
    by_context: dict[tuple[str, str], list[_File]] = {}
    for file in files:
        by_context.setdefault(file.context, []).append(file)
    contexts = list(by_context)
    for start in range(0, len(contexts), _CONTEXT_LIMIT):
        part = contexts[start : start + _CONTEXT_LIMIT]
        proposals = [(sop_class, _acceptable(syntax)) for sop_class, syntax in part]
        with (
            associate(peer, proposals) as association,
            Sender(association, ANSWER_SECONDS) as sender,
        ):
            for context in part:
                for file in by_context[context]:
                    yield _send(association, sender, file)


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given, and every file below a folder, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.is_file())
        else:
            yield path


def _acceptable(transfer_syntax: str) -> list[str]:
    """What a file may be sent in: compressed as it is, else in any plain little endian too."""
    plain = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    if UID(transfer_syntax).is_compressed:
        return [transfer_syntax]
    return [transfer_syntax, *(each for each in plain if each != transfer_syntax)]


def _read(path: Path) -> _File | SendOutcome:
    try:
        with path.open("rb", buffering=0) as file:
            meta = read_meta(file.read(META_BYTES))
    except OSError as error:
        return SendOutcome(path=path, reason=f"cannot be read: {error.strerror}")
    except ValueError:
        return _parsed(path)
    return _File(path, meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax)


def _parsed(path: Path) -> _File | SendOutcome:
    """Look for an instance where there is no file meta information; pydicom finds many."""
    try:
        header = dcmread(path, stop_before_pixels=True, force=True)
        if not header.get("SOPClassUID") or not header.get("SOPInstanceUID"):
            return SendOutcome(path=path, reason="not a DICOM instance")
        syntax = header.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian
        return _File(path, str(header.SOPClassUID), str(header.SOPInstanceUID), str(syntax))
    except Exception as error:  # noqa: BLE001 - the parser meets any file there is
        if isinstance(error, OSError) and error.strerror:
            return SendOutcome(path=path, reason=f"cannot be read: {error.strerror}")
        return SendOutcome(path=path, reason=f"not a DICOM instance ({type(error).__name__})")


def _send(association: Association, sender: Sender, file: _File) -> SendOutcome:
    status: int | None = None
    if not association.is_established:
        reason = "the connection was lost"
    else:
        try:
            status = store(association, sender, file.path)
            reason = "" if stored(status) else _why(status)
        except LostAssociation as error:
            reason = f"no answer: {error}"
        except (RuntimeError, ValueError, AttributeError, OSError, InvalidDicomError) as error:
            reason = f"not accepted: {type(error).__name__}"
    return SendOutcome(
        path=file.path, sop_instance_uid=file.sop_instance_uid, status=status, reason=reason
    )


def _why(status: int | None) -> str:
    return "no answer" if status is None else f"refused with status {status:04X}"
