"""Who made an object: equipment, the algorithm, and UIDs that a repeated run derives again."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from uuid import NAMESPACE_DNS, uuid5

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from sr import codes
from sr.findings import Algorithm

MANUFACTURER = "wetread"
MODEL_NAME = "wetread"
try:
    SOFTWARE_VERSION = version("wetread")
except PackageNotFoundError:  # running from a checkout that is not installed
    SOFTWARE_VERSION = "0"
DEVICE_SERIAL_NUMBER = f"wetread-{SOFTWARE_VERSION}"

# The names that all derived UIDs live under; changing it would change every UID.
_NAMESPACE = uuid5(NAMESPACE_DNS, "results.wetread")
_SEPARATOR = "\n"  # cannot occur in a UID, a name or a version (PS3.5 section 6.2, VR LO)


class Kind(Enum):
    """The kinds of result object; the value is the outbox's name for it."""

    REPORT = "sr"
    TEXT = "text"
    OVERLAY = "sc"
    PRESENTATION = "gsps"
    KEY_IMAGES = "kos"
    SEGMENTATION = "seg"
    PDF = "pdf"
    MAP = "pm"
    NOTICE = "notice"


# After the acquired images, and in this order, in viewers that sort by Series Number.
SERIES_NUMBERS = {
    Kind.OVERLAY: 901,
    Kind.TEXT: 902,
    Kind.REPORT: 903,
    Kind.PRESENTATION: 904,
    Kind.KEY_IMAGES: 905,
    Kind.SEGMENTATION: 906,
    Kind.MAP: 907,
    Kind.PDF: 908,
    Kind.NOTICE: 909,
}


def uid_from(*parts: str) -> UID:
    """Derive a UID from text: ``2.25.`` and a version 5 UUID (PS3.5 section B.2)."""
    return UID(f"2.25.{uuid5(_NAMESPACE, _SEPARATOR.join(parts)).int}")


def result_uid(
    source_uids: Iterable[str],
    algorithm: Algorithm,
    kind: Kind,
    purpose: str = "instance",
    style: str = "",
) -> UID:
    """Derive the UID of a result from what it was made of.

    The same images read by the same model version give the same UID, so a job that ran twice
    leaves one object in the PACS. The order of ``source_uids`` does not matter.

    Parameters
    ----------
    source_uids
        SOP Instance UIDs of the images read (for a series of overlays: the Study Instance UID).
    algorithm
        The model that read them.
    kind
        The kind of result object.
    purpose
        What the UID names, e.g. ``"instance"``, ``"series"``, ``"tracking"``.
    style
        ``sr.style.Style.key``.
    """
    made_of = [*sorted(source_uids), algorithm.name, algorithm.version, kind.value, purpose]
    return uid_from(*made_of, *([style] if style else []))


OBSERVER_UID = uid_from("device", MODEL_NAME, SOFTWARE_VERSION)
IMPLEMENTATION_CLASS_UID = uid_from("implementation", MODEL_NAME)
IMPLEMENTATION_VERSION_NAME = f"WETREAD_{SOFTWARE_VERSION}"[:16]  # PS3.5 section 6.2, VR SH


def algorithm_uid(algorithm: Algorithm) -> UID:
    """Return the Device UID of a model version: a new version has a new one."""
    return uid_from("algorithm", algorithm.manufacturer, algorithm.name, algorithm.version)


def put_equipment(dataset: Dataset) -> None:
    """Write the General and Enhanced General Equipment modules (PS3.3 C.7.5.1, C.7.5.2)."""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.SoftwareVersions = SOFTWARE_VERSION
    dataset.DeviceSerialNumber = DEVICE_SERIAL_NUMBER


def contributing_equipment(algorithm: Algorithm) -> Dataset:
    """Return the Contributing Equipment Sequence item of a model (PS3.3 C.12.1; IHE AIR)."""
    item = Dataset()
    purpose = CodedConcept.from_code(codes.PROCESSING_EQUIPMENT)
    item.PurposeOfReferenceCodeSequence = Sequence([purpose])
    item.Manufacturer = algorithm.manufacturer
    item.ManufacturerModelName = algorithm.name
    item.SoftwareVersions = algorithm.version
    item.DeviceUID = algorithm_uid(algorithm)
    item.ContributionDescription = algorithm.title
    return item
