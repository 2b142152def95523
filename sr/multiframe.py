"""Slices as the frames of one object: what segmentations and parametric maps have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from sr import codes
from sr.content import sop_reference
from sr.document import Origin, put_body_part, put_lossiness
from sr.geometry import plane_of
from sr.identity import Kind
from sr.patient import put_copy, spacing
from sr.wording import Words

_SAME_DIRECTION = 1e-3  # of direction cosines, which are written with few digits
_SAME_PLACE = 1e-3  # mm
NOTE = Words().disclaimer
"""Content Description of all objects: in English, for software cuts or rejects a longer one."""


@dataclass(frozen=True, eq=False)
class _Placed:
    """A slice that says where it lies.

    Attributes
    ----------
    source
        Its header.
    level
        How far along the normal of its stack it lies, mm.
    directions
        Of a row, then of a column; shape (6,).
    grid
        What slices of one stack have in common besides.
    """

    source: Dataset
    level: float
    directions: NDArray[np.float64]
    grid: tuple[object, ...]

    def fits(self, other: _Placed) -> bool:
        """Tell whether two slices can be frames of one object."""
        same_way = np.allclose(self.directions, other.directions, atol=_SAME_DIRECTION)
        return self.grid == other.grid and bool(same_way)


@dataclass(frozen=True)
class Stack:
    """Slices that one object can hold: of one series, parallel, with the same grid of pixels.

    They need not be equally far apart, nor lie above each other: a tilted gantry shifts them.

    Attributes
    ----------
    slices
        Their headers, along the normal.
    gap
        Smallest distance between two slices of the series, mm; None if there is only one.
    """

    slices: tuple[Dataset, ...]
    gap: float | None = None

    @property
    def rows(self) -> int:
        """Rows of each slice."""
        return int(self.slices[0].Rows)

    @property
    def columns(self) -> int:
        """Columns of each slice."""
        return int(self.slices[0].Columns)

    @property
    def key(self) -> str:
        """What tells the stack from the others of its study."""
        return min(str(each.SOPInstanceUID) for each in self.slices)

    def of(self, uids: Collection[str]) -> Stack | None:
        """Return the stack of these slices alone; None if they are all elsewhere."""
        chosen = tuple(each for each in self.slices if str(each.SOPInstanceUID) in uids)
        return replace(self, slices=chosen) if chosen else None

    def thickness(self, source: Dataset) -> float:
        """Return the thickness of a slice, mm, which every frame must state (C.7.6.16.2.1).

        Where the source does not tell, it reaches as far as the next slice; a slice that has none
        is as thick as its pixels are high.
        """
        distances = spacing(source, "PixelSpacing")
        return _thickness(source) or self.gap or (distances[0] if distances else 1.0)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of an object.

    Attributes
    ----------
    source
        The slice that it lies on.
    indices
        Its place in each dimension of the object, from 1.
    """

    source: Dataset
    indices: tuple[int, ...]


def stacks(sources: Iterable[Dataset]) -> Iterator[Stack]:
    """Sort CT and MR slices into stacks; an image that is none, or lies nowhere, is left out."""
    found: list[list[_Placed]] = []
    for placed in filter(None, map(_placed, sources)):
        stack = next((each for each in found if placed.fits(each[0])), None)
        if stack is None:
            found.append([placed])
        else:
            stack.append(placed)
    for stack in found:
        ordered = sorted(stack, key=lambda each: (each.level, str(each.source.SOPInstanceUID)))
        gaps = np.diff([each.level for each in ordered])
        apart = gaps[gaps > _SAME_PLACE]
        yield Stack(
            tuple(each.source for each in ordered), float(apart.min()) if apart.size else None
        )


def _placed(source: Dataset) -> _Placed | None:
    plane, distances = plane_of(source), spacing(source, "PixelSpacing")
    if plane is None or distances is None or int(source.get("NumberOfFrames") or 1) > 1:
        return None
    return _Placed(
        source=source,
        level=float(plane.position @ np.cross(plane.along_row, plane.along_column)),
        directions=np.concatenate([plane.along_row, plane.along_column]),
        grid=(
            str(source.SeriesInstanceUID),
            str(source.FrameOfReferenceUID),
            int(source.Rows),
            int(source.Columns),
            distances,
        ),
    )


def _thickness(source: Dataset) -> float | None:
    """Return the thickness that a source states, mm; None unless it is positive."""
    try:
        stated = float(source.get("SliceThickness") or 0)
    except (TypeError, ValueError):  # values are parsed on access
        return None
    return stated if stated > 0 else None


def stack_uid(origin: Origin, kind: Kind, stack: Stack, purpose: str) -> UID:
    """Derive a UID of what is made of one stack."""
    return origin.uid(kind, f"{purpose} {stack.key}")


def put_stack(result: Dataset, stack: Stack) -> Dataset:
    """Write body part, frame of reference and grid; return the item of shared functional groups.

    Groups follow PS3.3 C.7.6.16.2.
    """
    first = stack.slices[0]
    put_body_part(result, stack.slices)
    for name in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        put_copy(result, first, name)
    put_lossiness(result, next(filter(_lossy, stack.slices), first))
    result.Rows, result.Columns = stack.rows, stack.columns
    shared = Dataset()
    orientation = Dataset()
    put_copy(orientation, first, "ImageOrientationPatient")
    if len({stack.thickness(each) for each in stack.slices}) == 1:
        shared.PixelMeasuresSequence = _measures(stack, first)
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    result.SharedFunctionalGroupsSequence = DicomSequence([shared])
    return shared


def _measures(stack: Stack, source: Dataset) -> DicomSequence:
    """Return the size of a slice's pixels (PS3.3 C.7.6.16.2.1)."""
    item = Dataset()
    put_copy(item, source, "PixelSpacing")
    item.SliceThickness = DSfloat(stack.thickness(source), auto_format=True)
    return DicomSequence([item])


def _lossy(source: Dataset) -> bool:
    return bool(source.get("LossyImageCompression") == "01")


def put_dimensions(result: Dataset, uid: UID, pointers: Sequence[tuple[str, str]]) -> None:
    """Write the Multi-frame Dimension module (PS3.3 C.7.6.17).

    Parameters
    ----------
    result
        The object.
    uid
        Of the dimension organization.
    pointers
        Of each dimension the attribute that tells its frames apart, and that attribute's
        functional group.
    """
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    result.DimensionOrganizationSequence = DicomSequence([organization])
    result.DimensionIndexSequence = DicomSequence(_dimension(uid, *each) for each in pointers)


def _dimension(uid: UID, attribute: str, group: str) -> Dataset:
    item = Dataset()
    item.DimensionOrganizationUID = uid
    item.DimensionIndexPointer = Tag(tag_for_keyword(attribute) or 0)
    item.FunctionalGroupPointer = Tag(tag_for_keyword(group) or 0)
    return item


def put_frames(
    result: Dataset, stack: Stack, frames: Sequence[Frame], derivation: Code
) -> list[Dataset]:
    """Write where each frame lies and what it comes from; return the items of the frames.

    Parameters
    ----------
    result
        The object, as ``put_stack`` left it.
    stack
        Its slices.
    frames
        Its frames, in the order of their pixels.
    derivation
        How they were made (PS3.16 CID 7203).
    """
    items = [_frame(each, derivation) for each in frames]
    if "PixelMeasuresSequence" not in result.SharedFunctionalGroupsSequence[0]:
        for item, frame in zip(items, frames, strict=True):
            item.PixelMeasuresSequence = _measures(stack, frame.source)
    result.NumberOfFrames = len(items)
    result.PerFrameFunctionalGroupsSequence = DicomSequence(items)
    _put_references(result, [each.source for each in frames])
    return items


def _frame(frame: Frame, derivation: Code) -> Dataset:
    item, content, position = Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = list(frame.indices)
    put_copy(position, frame.source, "ImagePositionPatient")
    item.FrameContentSequence = DicomSequence([content])
    item.PlanePositionSequence = DicomSequence([position])
    derived, source = Dataset(), sop_reference(frame.source)
    source.PurposeOfReferenceCodeSequence = coded(codes.SOURCE_IMAGE)
    source.SpatialLocationsPreserved = "YES"
    derived.SourceImageSequence = DicomSequence([source])
    derived.DerivationCodeSequence = coded(derivation)
    item.DerivationImageSequence = DicomSequence([derived])
    return item


def _put_references(result: Dataset, sources: Iterable[Dataset]) -> None:
    """Write the Common Instance Reference module (PS3.3 C.12.2) for slices of one series."""
    by_uid = {str(each.SOPInstanceUID): each for each in sources}
    series = Dataset()
    series.SeriesInstanceUID = next(iter(by_uid.values())).SeriesInstanceUID
    series.ReferencedInstanceSequence = DicomSequence(map(sop_reference, by_uid.values()))
    result.ReferencedSeriesSequence = DicomSequence([series])


def coded(concept: Code) -> DicomSequence:
    """Return a code sequence of one item (PS3.3 section 8.8)."""
    return DicomSequence([CodedConcept.from_code(concept)])


def put_schemes(result: Dataset, concepts: Iterable[Code]) -> None:
    """Declare the private coding schemes among those of ``concepts`` (PS3.3 C.12.1)."""
    schemes = codes.scheme_items(each.scheme_designator for each in concepts)
    if schemes:
        result.CodingSchemeIdentificationSequence = DicomSequence(schemes)
