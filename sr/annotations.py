"""What a presentation state draws on one image: layers, lines and text (PS3.3 C.10.5, C.10.7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from highdicom.color import CIELabColor
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from sr.content import sop_reference
from sr.contours import Polyline, box_outline, mask_parts
from sr.findings import ImageReading, Reading
from sr.heatmap import contours
from sr.lettering import AMBER, Colour, font
from sr.marks import free_place
from sr.patient import image_area
from sr.picture import shows_heatmap
from sr.wording import Words

_LETTERS = 64  # of the image's long side, as in the overlay
_Rectangle = tuple[int, int, int, int]  # left, top, right, bottom

# Of the displayed area. In the middle, because viewers write their own text into the corners.
_FIRST_LINE = (0.15, 0.01, 0.85, 0.035)
_LINE_PITCH = 0.03


class Layer(Enum):
    """What can be switched on and off by itself; the value is its name (VR CS)."""

    ANSWER = "AI_ANSWER"
    MARKS = "AI_MARKS"
    ACTIVATION = "AI_ACTIVATION"


_COLOURS: dict[Layer, Colour] = {
    Layer.ANSWER: AMBER,
    Layer.MARKS: (86, 180, 233),
    Layer.ACTIVATION: (244, 136, 73),
}
_DESCRIPTIONS = {
    Layer.ANSWER: "Answer of the model, and notice",
    Layer.MARKS: "What the model marked",
    Layer.ACTIVATION: "Where the model looked",
}


@dataclass
class _Drawing:
    """Lines and texts of one layer on one image."""

    lines: list[Polyline] = field(default_factory=list)
    texts: list[Dataset] = field(default_factory=list)


def layer_items(used: Iterable[Layer]) -> list[Dataset]:
    """Return the Graphic Layer Sequence items of the layers in use, the lowest first."""
    items: list[Dataset] = []
    for order, layer in enumerate(sorted(set(used), key=list(Layer).index), start=1):
        item = Dataset()
        item.GraphicLayer = layer.value
        item.GraphicLayerOrder = order
        item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
        item.GraphicLayerRecommendedDisplayCIELabValue = list(
            CIELabColor.from_rgb(*_COLOURS[layer]).value
        )
        item.GraphicLayerDescription = _DESCRIPTIONS[layer]
        items.append(item)
    return items


def annotation_items(
    source: Dataset, reading: Reading, image: ImageReading, words: Words
) -> dict[Layer, Dataset]:
    """Return the Graphic Annotation Sequence items of one image, by layer.

    Parameters
    ----------
    source
        The image.
    reading, image
        What the model says, and what it says about this image.
    words
        The language.
    """
    size = (int(source.Rows), int(source.Columns))
    answer = _Drawing(texts=_answer(reading, image, words))
    labels = _Labels(size, len(answer.texts))
    drawings = {
        Layer.ANSWER: answer,
        Layer.MARKS: _marks(source, reading, image, words, labels),
        Layer.ACTIVATION: _activation(reading, image, words, labels),
    }
    return {
        layer: _annotation(source, layer, drawing)
        for layer, drawing in drawings.items()
        if drawing.lines or drawing.texts
    }


def annotation_texts(items: Iterable[Dataset]) -> list[str]:
    """Return what annotations say; their character set must hold it."""
    return [
        each.UnformattedTextValue for item in items for each in item.get("TextObjectSequence", ())
    ]


# -- what is drawn --


def _answer(reading: Reading, image: ImageReading, words: Words) -> list[Dataset]:
    """Return the answer, what it must not be taken for, and the notice, a line each."""
    decision = reading.decision_on(image)
    headline = words.headline(decision)
    if image.decision is None and reading.study is not None:
        headline = words.about(words.say("study"), headline)
    lines = [headline, words.caution(decision), words.disclaimer]
    left, top, right, bottom = _FIRST_LINE
    items: list[Dataset] = []
    for line in filter(None, lines):
        down = _LINE_PITCH * len(items)
        corners = (left, round(top + down, 3), right, round(bottom + down, 3))
        items.append(_text(line, "DISPLAY", corners, "CENTER"))
    return items


def _marks(
    source: Dataset, reading: Reading, image: ImageReading, words: Words, labels: _Labels
) -> _Drawing:
    """Return boxes with number, finding and probability, and outlines with what they cover."""
    drawing = _Drawing()
    for number, region in reading.numbered_regions(image):
        outline = box_outline(region.left, region.top, region.right, region.bottom)
        drawing.lines.append(outline)
        drawing.texts.append(labels.beside(outline, words.region(number, region), f"({number})"))
    for segment in image.segments:
        parts = mask_parts(segment.mask, *labels.size)
        drawing.lines += [each.outline for each in parts]
        if parts:
            told = words.covered(segment, image_area(source))
            drawing.texts.append(labels.beside(parts[0].outline, told, segment.label))
    return drawing


def _activation(reading: Reading, image: ImageReading, words: Words, labels: _Labels) -> _Drawing:
    """Return the contour of the strong activations, and that it outlines no disease."""
    if image.heatmap is None or not shows_heatmap(reading, image):
        return _Drawing()
    outlines = contours(image.heatmap, *labels.size)
    texts = [labels.beside(outlines[0], words.say("activation_note"), "")] if outlines else []
    return _Drawing(outlines, texts)


class _Labels:
    """Places for the labels of an image's marks, none on another.

    Parameters
    ----------
    size
        Rows and columns of the image.
    lines
        How many lines of text stand on its upper edge.
    """

    def __init__(self, size: tuple[int, int], lines: int) -> None:
        self.size = size
        rows, columns = size
        self._letters = font(max(6, max(size) // _LETTERS))
        left, _, right, bottom = _FIRST_LINE
        below = bottom + _LINE_PITCH * (lines - 1)
        self._taken: list[_Rectangle] = [
            (round(left * columns), 0, round(right * columns), round(below * rows))
        ]

    def beside(self, outline: Polyline, told: str, short: str) -> Dataset:
        """Return a label at an outline; the short one where the whole one has no room."""
        left, top = (int(each) for each in outline.min(axis=0))
        right, bottom = (int(each) for each in outline.max(axis=0))
        around = (left, top, right, bottom)
        room = (self.size[1], self.size[0])
        for text in filter(None, (told, short)):
            place = free_place(around, self._extent(text), room, self._taken)
            if place is not None:
                self._taken.append(place)
                return _text(text, "PIXEL", place, "LEFT")
        # No room at all: the whole label all the same, from the mark's corner on.
        width, height = self._extent(told)
        corners = (left, top, min(left + width, room[0]), min(top + height, room[1]))
        return _text(told, "PIXEL", corners, "LEFT")

    def _extent(self, text: str) -> tuple[int, int]:
        return round(self._letters.getlength(text)) + 2, round(1.3 * self._letters.size)


# -- items --


def _annotation(source: Dataset, layer: Layer, drawing: _Drawing) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = DicomSequence([sop_reference(source)])
    item.GraphicLayer = layer.value
    if drawing.texts:
        item.TextObjectSequence = DicomSequence(drawing.texts)
    if drawing.lines:
        item.GraphicObjectSequence = DicomSequence(map(_line, drawing.lines))
    return item


def _text(text: str, units: str, corners: Sequence[float], justified: str) -> Dataset:
    """Return a text object in a box: left, top, right, bottom; ``units`` as in PS3.3 C.10.5.1.1."""
    item = Dataset()
    item.BoundingBoxAnnotationUnits = units
    item.UnformattedTextValue = text
    item.BoundingBoxTopLeftHandCorner = list(corners[:2])
    item.BoundingBoxBottomRightHandCorner = list(corners[2:])
    item.BoundingBoxTextHorizontalJustification = justified
    return item


def _line(points: Polyline) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [float(each) for each in points.round(2).ravel()]
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    return item
