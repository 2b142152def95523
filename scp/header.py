"""The few elements of a received data set that the job table needs; pixels are never touched."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from db.archive import checked_uid
from db.errors import InvalidUID

_WANTED = {
    "sop_class_uid": Tag("SOPClassUID"),
    "sop_instance_uid": Tag("SOPInstanceUID"),
    "modality": Tag("Modality"),
    "manufacturer": Tag("Manufacturer"),
    "model_name": Tag("ManufacturerModelName"),
    "study_uid": Tag("StudyInstanceUID"),
    "series_uid": Tag("SeriesInstanceUID"),
}
_LAST = max(_WANTED.values())
_INFLATED_LIMIT = 4 * 1024 * 1024  # bytes; enough for any header, too little for a bomb
_OWN = "wetread"


class HeaderError(ValueError):
    """A data set whose header cannot be read or lacks an identifier; names the element."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """Identifiers of a received instance; the UIDs are checked and may become paths."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    modality: str
    own: bool  # made by this software, so not to be read again


def read_header(data_set: BytesIO, transfer_syntax: UID) -> Header:
    """Read the identifiers of an encoded data set.

    Parameters
    ----------
    data_set
        The bytes as received, without file meta information.
    transfer_syntax
        As negotiated.

    Raises
    ------
    HeaderError
        The data set cannot be parsed, or a UID is missing or is none.
    """
    try:
        found = _read(data_set, transfer_syntax)
        values = {
            name: str(found[tag].value or "") for name, tag in _WANTED.items() if tag in found
        }
    except Exception as error:  # the parser meets a peer's bytes and may raise anything
        raise HeaderError(f"data set cannot be parsed ({type(error).__name__})") from error
    try:
        return Header(
            sop_class_uid=checked_uid(values.get("sop_class_uid", ""), "SOP Class UID"),
            sop_instance_uid=checked_uid(values.get("sop_instance_uid", ""), "SOP Instance UID"),
            study_uid=checked_uid(values.get("study_uid", ""), "Study Instance UID"),
            series_uid=checked_uid(values.get("series_uid", ""), "Series Instance UID"),
            modality=values.get("modality", "").strip()[:16],
            own=values.get("manufacturer") == _OWN and values.get("model_name") == _OWN,
        )
    except InvalidUID as error:
        raise HeaderError(str(error)) from error


def _read(data_set: BytesIO, transfer_syntax: UID) -> Dataset:
    data_set.seek(0)
    if transfer_syntax.is_deflated:
        inflated = zlib.decompressobj(-zlib.MAX_WBITS)
        data_set = BytesIO(inflated.decompress(data_set.getvalue(), _INFLATED_LIMIT))
    return read_dataset(
        data_set,
        is_implicit_VR=transfer_syntax.is_implicit_VR,
        is_little_endian=transfer_syntax.is_little_endian,
        stop_when=_past_last,
        specific_tags=list(_WANTED.values()),
    )


def _past_last(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > _LAST)
