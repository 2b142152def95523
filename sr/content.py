"""Content items of a structured report (PS3.3 section C.17.3), as small functions.

Every function returns a new item. Concept names of templates stay in English, whatever the
language of the report: viewers match on their text.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code


class Relation(Enum):
    """Relationship Type (0040,A010): what an item is to its parent (PS3.3 C.17.3.2.4)."""

    CONTAINS = "CONTAINS"
    CONCEPT_MODIFIER = "HAS CONCEPT MOD"
    OBSERVATION_CONTEXT = "HAS OBS CONTEXT"
    ACQUISITION_CONTEXT = "HAS ACQ CONTEXT"
    INFERRED_FROM = "INFERRED FROM"
    SELECTED_FROM = "SELECTED FROM"


def code_item(code: Code) -> Dataset:
    """Return a coded concept as an item of a code sequence (PS3.3 section 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    if code.scheme_version:
        item.CodingSchemeVersion = code.scheme_version
    item.CodeMeaning = code.meaning
    return item


def _item(
    value_type: str, relation: Relation, name: Code | None, children: Iterable[Dataset] = ()
) -> Dataset:
    item = Dataset()
    item.ValueType = value_type
    item.RelationshipType = relation.value
    if name is not None:
        item.ConceptNameCodeSequence = Sequence([code_item(name)])
    _put_children(item, children)
    return item


def _put_children(item: Dataset, children: Iterable[Dataset]) -> None:
    children = list(children)
    if children:
        item.ContentSequence = Sequence(children)


def put_root(dataset: Dataset, title: Code, template: str, children: Iterable[Dataset]) -> None:
    """Write the root container of a document into its data set (PS3.3 C.17.3, PS3.16 Annex A)."""
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = Sequence([code_item(title)])
    _put_container(dataset, template)
    _put_children(dataset, children)


def _put_container(item: Dataset, template: str | None) -> None:
    # SEPARATE, because viewers drop the labels of items in CONTINUOUS containers.
    item.ContinuityOfContent = "SEPARATE"
    if template is not None:
        identification = Dataset()
        identification.MappingResource = "DCMR"
        identification.TemplateIdentifier = template
        item.ContentTemplateSequence = Sequence([identification])


def container(name: Code, children: Iterable[Dataset], *, template: str | None = None) -> Dataset:
    """Return a CONTAINER that its parent contains; ``template`` is a TID without prefix."""
    item = _item("CONTAINER", Relation.CONTAINS, name, children)
    _put_container(item, template)
    return item


def text(
    name: Code,
    value: str,
    relation: Relation = Relation.CONTAINS,
    children: Iterable[Dataset] = (),
) -> Dataset:
    """Return a TEXT item."""
    item = _item("TEXT", relation, name, children)
    item.TextValue = value
    return item


def coded(name: Code, value: Code, relation: Relation = Relation.CONTAINS) -> Dataset:
    """Return a CODE item."""
    item = _item("CODE", relation, name)
    item.ConceptCodeSequence = Sequence([code_item(value)])
    return item


def uid(name: Code, value: str, relation: Relation = Relation.OBSERVATION_CONTEXT) -> Dataset:
    """Return a UIDREF item."""
    item = _item("UIDREF", relation, name)
    item.UID = value
    return item


def number(name: Code, value: str, unit: Code, relation: Relation = Relation.CONTAINS) -> Dataset:
    """Return a NUM item; ``value`` is a decimal string of at most 16 characters (VR DS)."""
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = Sequence([code_item(unit)])
    measured.NumericValue = value
    item = _item("NUM", relation, name)
    item.MeasuredValueSequence = Sequence([measured])
    return item


def sop_reference(source: Dataset) -> Dataset:
    """Return a Referenced SOP Sequence item for an instance (PS3.3 section 10.8)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return reference


def image(
    source: Dataset,
    relation: Relation,
    name: Code | None = None,
    children: Iterable[Dataset] = (),
) -> Dataset:
    """Return an IMAGE item that refers to ``source``."""
    item = _item("IMAGE", relation, name, children)
    item.ReferencedSOPSequence = Sequence([sop_reference(source)])
    return item


def point(name: Code, column: float, row: float, source: Dataset) -> Dataset:
    """Return a SCOORD item: one point selected from an image (PS3.3 C.18.6).

    Parameters
    ----------
    name
        What the point is.
    column, row
        Pixels from the top left corner of the image; the first pixel's centre is (0.5, 0.5).
    source
        The image.
    """
    item = _item("SCOORD", Relation.CONTAINS, name, [image(source, Relation.SELECTED_FROM)])
    item.GraphicType = "POINT"
    item.GraphicData = [column, row]
    return item
