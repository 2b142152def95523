"""Boxes and outlines: where they belong, with labels that hide as little as can be."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from sr.findings import Algorithm, ImageReading, Segment
from sr.legend import Caption
from sr.marks import free_place, mark_colours
from sr.picture import Drawing, draw
from sr.wording import Words
from tests.sr_examples import (
    ALGORITHM,
    LESION,
    MASS,
    box,
    discs,
    measured,
    picture,
    radiograph,
)
from tests.sr_examples import reading as study_of


def _coloured(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(pixels.astype(np.int16), axis=2) > 20)


def _drawn(source: Dataset, image: ImageReading, algorithm: Algorithm = ALGORITHM) -> Drawing:
    read = study_of(image, algorithm=algorithm)
    return draw(picture(source), Caption(words=Words(), reading=read, image=image))


def test_box_is_drawn_where_it_lies() -> None:
    source = radiograph()  # 300 rows, 240 columns
    drawing = _drawn(source, measured(source, regions=(box(60, 120, 180, 240),)))
    rows, columns = np.nonzero(_coloured(drawing.pixels[drawing.top : drawing.top + 1024]))
    scale = 1024 / 300
    assert rows.max() == pytest.approx(240 * scale, abs=4)
    assert rows.min() < 120 * scale  # the label stands above the box
    assert (columns.min(), columns.max()) == pytest.approx((60 * scale, 180 * scale), abs=4)
    inside = drawing.pixels[drawing.top + 450 : drawing.top + 800, 250:580]
    assert (inside == 90).all()


def test_labels_stay_in_the_picture_and_apart() -> None:
    taken: list[tuple[int, int, int, int]] = []
    for box_ in [(0, 0, 50, 30), (0, 0, 50, 30), (580, 380, 600, 400), (300, 200, 340, 230)]:
        place = free_place(box_, (120, 20), (600, 400), taken)
        assert place is not None
        left, top, right, bottom = place
        assert left >= 0
        assert top >= 0
        assert right <= 600
        assert bottom < 400
        assert not any(left < x[2] and x[0] < right and top < x[3] and x[1] < bottom for x in taken)
        taken.append(place)


def test_label_without_room_is_left_out() -> None:
    assert free_place((0, 0, 50, 30), (120, 20), (100, 400), []) is None
    everywhere = [(0, 0, 600, 400)]
    assert free_place((300, 200, 340, 230), (120, 20), (600, 400), everywhere) is None


def test_segment_is_tinted_and_outlined_where_its_mask_is() -> None:
    source = radiograph()
    lesion = Segment(finding=LESION, label="Lesion", mask=discs((16, 48, 8)))
    drawing = _drawn(source, measured(source, segments=(lesion,)))
    coloured = _coloured(drawing.pixels[drawing.top : drawing.top + 1024])
    rows, columns = np.nonzero(coloured)
    assert rows.mean() / 1024 == pytest.approx(16.5 / 64, abs=0.01)
    assert columns.mean() / coloured.shape[1] == pytest.approx(48.5 / 64, abs=0.01)
    assert coloured.mean() == pytest.approx(lesion.share, rel=0.1)
    # The anatomy shows through: a darker picture stays darker.
    caption = Caption(words=Words(), reading=study_of(_one(lesion)), image=_one(lesion))
    dark = draw(picture(source, 30), caption)
    middle = (drawing.top + round(16.5 / 64 * 1024), round(48.5 / 64 * coloured.shape[1]))
    assert dark.pixels[middle].astype(int).sum() < drawing.pixels[middle].astype(int).sum() - 90


def _one(segment: Segment) -> ImageReading:
    return measured(radiograph(), segments=(segment,))


def test_every_finding_has_a_colour_of_its_own() -> None:
    source = radiograph()
    lesion = Segment(finding=LESION, label="Lesion", mask=discs((16, 48, 8)))
    image = measured(source, regions=(box(1, 1, 9, 9), box(2, 2, 9, 9)), segments=(lesion,))
    colours = mark_colours(image)
    assert list(colours) == [MASS.value, LESION.value]
    assert len(set(colours.values())) == 2
