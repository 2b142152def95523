"""Content items of a structured report (PS3.3 section C.17.3), as small functions.

highdicom makes the items; what is different here is told in comments. Every function returns a new
item. Concept names of templates stay in English, whatever the language of the report: viewers
match on their text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    ScoordContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code

from sr import codes

Relation = RelationshipTypeValues


def put_root(dataset: Dataset, title: Code, template: str, children: Iterable[Dataset]) -> None:
    """Write the root container of a document into its data set (PS3.3 C.17.3, PS3.16 Annex A)."""
    root = ContainerContentItem(title, is_content_continuous=False, template_id=template)
    for element in _with_children(root, children):
        dataset[element.tag] = element


def container(name: Code, children: Iterable[Dataset], *, template: str | None = None) -> Dataset:
    """Return a CONTAINER that its parent contains; ``template`` is a TID without prefix."""
    # Not continuous, because viewers drop the labels of items in CONTINUOUS containers.
    item = ContainerContentItem(
        name,
        is_content_continuous=False,
        template_id=template,
        relationship_type=Relation.CONTAINS,
    )
    return _with_children(item, children)


def text(
    name: Code,
    value: str,
    relation: Relation = Relation.CONTAINS,
    children: Iterable[Dataset] = (),
) -> Dataset:
    """Return a TEXT item."""
    return _with_children(TextContentItem(name, value, relation), children)


def text_values(items: Iterable[Dataset]) -> Iterator[str]:
    """Yield the values of all TEXT items in content trees."""
    for item in items:
        if item.ValueType == "TEXT":
            yield str(item.TextValue)
        yield from text_values(item.get("ContentSequence", ()))


def coded(name: Code, value: Code, relation: Relation = Relation.CONTAINS) -> Dataset:
    """Return a CODE item."""
    return CodeContentItem(name, value, relation)


def uid(name: Code, value: str, relation: Relation = Relation.HAS_OBS_CONTEXT) -> Dataset:
    """Return a UIDREF item."""
    return UIDRefContentItem(name, value, relation)


def number(name: Code, value: str, unit: Code, relation: Relation = Relation.CONTAINS) -> Dataset:
    """Return a NUM item; ``value`` is a decimal string of at most 16 characters (VR DS)."""
    item = NumContentItem(name, float(value), unit, relationship_type=relation)
    measured = item.MeasuredValueSequence[0]
    measured.NumericValue = value  # as it reads best: 87.00, not 87.0
    del measured.FloatingPointValue
    return item


def sop_reference(source: Dataset) -> Dataset:
    """Return a Referenced SOP Sequence item for an instance (PS3.3 section 10.8)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return reference


def image(source: Dataset, relation: Relation, children: Iterable[Dataset] = ()) -> Dataset:
    """Return an IMAGE item, named Source, that refers to ``source``."""
    item = ImageContentItem(
        codes.SOURCE, source.SOPClassUID, source.SOPInstanceUID, relationship_type=relation
    )
    return _with_children(item, children)


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
    return _coordinates(name, "POINT", np.array([[column, row]]), source)


def polyline(name: Code, points: NDArray[np.float64], source: Dataset) -> Dataset:
    """Return a SCOORD item: a polyline selected from an image, closed if it ends as it starts.

    Parameters
    ----------
    name
        What the polyline is.
    points
        Shape (n, 2): column, row, in pixels as for ``point``.
    source
        The image.
    """
    # Hundredths of a pixel: GraphicData is in single precision.
    return _coordinates(name, "POLYLINE", points.round(2), source)


def _coordinates(
    name: Code, graphic_type: str, points: NDArray[np.float64], source: Dataset
) -> Dataset:
    item = ScoordContentItem(name, graphic_type, points, relationship_type=Relation.CONTAINS)
    return _with_children(item, [image(source, Relation.SELECTED_FROM)])


def _with_children(item: ContentItem, children: Iterable[Dataset]) -> Dataset:
    # A plain sequence: highdicom checks each item of its own as it goes in, for as long again.
    children = list(children)
    if children:
        item.ContentSequence = Sequence(children)
    return item
