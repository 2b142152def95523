"""A file in the archive that no row knows: read as if it came now, if it is whole."""

from __future__ import annotations

import warnings
import zlib
from typing import BinaryIO

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import data_element_generator, read_file_meta_info
from pydicom.uid import UID

from db.archive import Archive
from db.studies import StoredInstance
from dimse.part10 import META_BYTES, FileMeta, read_meta
from scp.header import START_BYTES, Header, read_header

_UNDEFINED = 0xFFFFFFFF  # PS3.5 section 7.1.3
_CHUNK = 1024 * 1024  # bytes inflated at a time
_SKIPPED = 1024  # bytes of a value; longer ones are not read to see whether they are there


def adoptable(archive: Archive, path: str) -> StoredInstance | None:
    """What the row of a stored file would say; None if it is no whole DICOM file of that name.

    Whole means that its last element ends where the file does. What a power cut may have done to
    the pixels cannot be seen.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    file = archive.full_path(path)
    try:
        with file.open("rb") as opened:
            meta = read_meta(opened.read(META_BYTES))
            header = _header(opened, meta)
            whole = _is_whole(opened, meta, file.stat().st_size)
        sender = str(read_file_meta_info(file).get("SourceApplicationEntityTitle") or "")
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - the parser meets any bytes and may raise anything
        return None
    named = archive.instance_path(header.study_uid, header.sop_instance_uid)
    agrees = header.sop_instance_uid == meta.sop_instance_uid and named == path
    if not (whole and agrees):
        return None
    return StoredInstance(
        sop_instance_uid=header.sop_instance_uid,
        study_uid=header.study_uid,
        series_uid=header.series_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=meta.transfer_syntax,
        modality=header.modality,
        own=header.own,
        size=file.stat().st_size,
        digest="",
        path=path,
        calling_ae=sender.strip()[:16],
    )


def _header(file: BinaryIO, meta: FileMeta) -> Header:
    file.seek(meta.data_set_at)
    return read_header(file.read(START_BYTES), UID(meta.transfer_syntax))


def _is_whole(file: BinaryIO, meta: FileMeta, size: int) -> bool:
    file.seek(meta.data_set_at)
    syntax = UID(meta.transfer_syntax)
    if syntax.is_deflated:
        return _inflates(file)
    end = meta.data_set_at
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns of what does not end
        for element in data_element_generator(
            file, syntax.is_implicit_VR, syntax.is_little_endian, defer_size=_SKIPPED
        ):
            if not _has_its_length(element):
                return False
            end = file.tell()
    return end == size


def _has_its_length(element: RawDataElement | DataElement) -> bool:
    if not isinstance(element, RawDataElement) or element.value is None:
        return True
    return element.length in (len(element.value), _UNDEFINED)


def _inflates(file: BinaryIO) -> bool:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = file.read(_CHUNK)
    while data and not inflater.eof:
        inflater.decompress(data, _CHUNK)
        data = inflater.unconsumed_tail or file.read(_CHUNK)
    return inflater.eof
