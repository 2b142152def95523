"""From pictures to findings: the operating point, the leading class, the heat map's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.answers import decide
from inference.errors import ManifestError, ModelError
from inference.manifest import ClassificationSection
from inference.package import read_package
from inference.reading import read_pictures, read_studies
from inference.runtime import Model
from sr.findings import Decision, ImageReading, Normality, Probability
from tests.tinygraph import Fault
from tests.tinymodel import (
    CLASSIFICATION,
    DETECTION,
    GRADE,
    SCORE,
    SEGMENTATION,
    URGENCY,
    write_package,
)

CODE = {"value": "1", "scheme": "SCT", "meaning": "m"}


def section(indeterminate: tuple[float, float] | None = None) -> ClassificationSection:
    return ClassificationSection.model_validate(
        {
            "output": "p",
            "threshold": 0.5,
            "indeterminate": indeterminate,
            "operating_point": "o",
            "class": [
                {"label": "a", "code": CODE},
                {"label": "normal", "code": CODE, "normal": True},
                {"label": "b", "code": CODE},
            ],
        }
    )


def probabilities(*values: float) -> list[Probability]:
    classes = zip(section().classes, values, strict=True)
    return [Probability(finding=c.code.code, label=c.label, value=v) for c, v in classes]


@pytest.mark.parametrize(
    ("values", "band", "normality", "leading"),
    [
        ((0.1, 0.8, 0.1), None, Normality.NORMAL, 1),
        ((0.3, 0.5, 0.2), None, Normality.ABNORMAL, 0),  # exactly at the operating point
        ((0.2, 0.51, 0.29), None, Normality.NORMAL, 1),
        ((0.1, 0.45, 0.45), None, Normality.ABNORMAL, 2),  # though normal is as probable
        ((0.2, 0.6, 0.2), (0.4, 0.6), Normality.INDETERMINATE, 0),
        ((0.2, 0.41, 0.39), (0.4, 0.6), Normality.INDETERMINATE, 2),
        ((0.3, 0.375, 0.325), (0.375, 0.625), Normality.ABNORMAL, 2),  # the band's upper end
        ((0.3, 0.625, 0.075), (0.375, 0.625), Normality.INDETERMINATE, 0),  # its lower end
        ((0.0, 1.0, 0.0), (0.4, 0.6), Normality.NORMAL, 1),
        ((0.0, 0.0, 1.0), None, Normality.ABNORMAL, 2),
    ],
)
def test_the_operating_point_decides(
    values: tuple[float, ...],
    band: tuple[float, float] | None,
    normality: Normality,
    leading: int,
) -> None:
    answer, index = decide(section(band), probabilities(*values))
    assert answer.normality is normality
    assert index == leading
    assert answer.leading.label == ("a", "normal", "b")[leading]
    assert answer.abnormal_probability == pytest.approx(1 - values[1])
    assert answer.threshold == 0.5


def decision(image: ImageReading) -> Decision:
    assert image.decision is not None
    return image.decision


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(read_package(write_package(tmp_path_factory.mktemp("models"))), threads=1)


def picture(bright: float, rows: int = 40, columns: int = 40) -> NDArray[np.uint8]:
    """Black above white; ``bright`` is the white share of the rows."""
    made = np.zeros((rows, columns), np.uint8)
    made[round(rows * (1 - bright)) :] = 255
    return made


def test_each_picture_is_read_on_its_own(model: Model) -> None:
    shares = {"1.1": 0.9, "1.2": 0.1, "1.3": 0.5, "1.4": 0.8, "1.5": 0.05}  # over three batches
    reading = read_pictures(model, {uid: picture(share) for uid, share in shares.items()})
    assert reading.algorithm == model.package.algorithm
    assert reading.procedure.value == "43468-8"
    assert [each.sop_instance_uid for each in reading.images] == list(shares)
    answers = [decision(each).normality for each in reading.images]
    bad, good, unsure = Normality.ABNORMAL, Normality.NORMAL, Normality.INDETERMINATE
    assert answers == [bad, good, unsure, bad, good]
    for each in reading.images:
        assert sum(p.value for p in each.probabilities) == pytest.approx(1, abs=1e-5)
        alone = read_pictures(model, {"9": picture(shares[each.sop_instance_uid])}).images[0]
        assert decision(alone).abnormal_probability == pytest.approx(
            decision(each).abnormal_probability, abs=1e-6
        )


def test_studies_that_share_runs_are_read_as_each_alone(model: Model) -> None:
    shares = [{"1.1": 0.9}, {"2.1": 0.1, "2.2": 0.05, "2.3": 0.5}, {"1.1": 0.2}]  # over two batches
    studies = [{uid: picture(share) for uid, share in each.items()} for each in shares]
    together = read_studies(model, studies)
    for reading, study in zip(together, studies, strict=True):
        alone = read_pictures(model, study)
        assert [each.sop_instance_uid for each in reading.images] == list(study)
        assert [decision(each).abnormal_probability for each in reading.images] == pytest.approx(
            [decision(each).abnormal_probability for each in alone.images], abs=1e-6
        )


def test_the_heat_map_has_the_aspect_of_its_picture(model: Model) -> None:
    reading = read_pictures(model, {"1": picture(0.8, 64, 56), "2": picture(0.2, 20, 40)})
    first, second = (each.heatmap for each in reading.images)
    assert first is not None
    assert second is not None
    assert first.shape == (32, 28)
    assert second.shape == (16, 32)
    assert first[0, 14] < 0.6 < 0.9 < first[-3, 14]  # abnormal: where it is white
    assert second[2, 16] > 0.95 > 0.85 > second[-1, 16]  # normal: where it is black


def test_a_model_that_explains_nothing_gives_no_heat_map(tmp_path: Path) -> None:
    folder = write_package(tmp_path, ('activation = "activation"\n', ""))
    reading = read_pictures(Model(read_package(folder), threads=1), {"1": picture(0.5)})
    assert reading.images[0].heatmap is None


def test_a_model_that_fails_is_a_model_error(tmp_path: Path) -> None:
    folder = write_package(tmp_path, fault=Fault.FAILS_ON_BRIGHT)
    with pytest.raises(ModelError, match="model tiny failed"):
        read_pictures(Model(read_package(folder), threads=1), {"1": picture(0.5)})


def loaded(root: Path, sections: str, *edits: tuple[str, str]) -> Model:
    return Model(read_package(write_package(root, *edits, sections=sections)), threads=1)


def read_one(model: Model, shown: NDArray[np.uint8]) -> ImageReading:
    return read_pictures(model, {"1": shown}).images[0]


BRIGHT, DARK, HALF = picture(0.9), picture(0.1), picture(0.5)
ONLY_ABNORMAL = ("highest = 8", 'highest = 8\nwhen = "abnormal"')


def test_a_score_is_kept_on_its_scale(tmp_path: Path) -> None:
    model = loaded(tmp_path, SCORE)
    for shown, value in ((BRIGHT, 8.0), (DARK, 0.0), (picture(0.6), 2.0)):
        found = read_one(model, shown)
        assert found.decision is None
        (score,) = found.scores
        assert score.value == pytest.approx(value, abs=0.7)
        assert (score.lowest, score.highest, score.name.meaning) == (0, 8, "Extent")


def test_a_score_of_the_abnormal_is_left_out_of_the_normal(tmp_path: Path) -> None:
    model = loaded(tmp_path, CLASSIFICATION + SCORE, ONLY_ABNORMAL)
    assert [len(read_one(model, each).scores) for each in (BRIGHT, HALF, DARK)] == [1, 1, 0]


def test_a_score_of_the_abnormal_needs_a_decision(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match='when = "abnormal" needs an output that decides'):
        loaded(tmp_path, SCORE, ONLY_ABNORMAL)


def test_a_grade_decides_where_there_is_no_classification(tmp_path: Path) -> None:
    found = read_one(loaded(tmp_path, GRADE), BRIGHT)
    (grade,) = found.grades
    assert (grade.level, grade.stated.label) == (2, "bright")
    assert sum(each.value for each in grade.levels) == pytest.approx(1, abs=1e-5)
    assert decision(found).normality is Normality.ABNORMAL
    assert decision(found).leading.label == "bright"
    assert found.probabilities == ()


def test_a_classification_decides_before_a_grade_and_boxes(tmp_path: Path) -> None:
    found = read_one(loaded(tmp_path, CLASSIFICATION + GRADE + DETECTION), BRIGHT)
    assert decision(found).leading.label == "pneumonia"
    assert found.grades
    assert found.regions


def test_boxes_lie_on_the_picture_and_decide(tmp_path: Path) -> None:
    model = loaded(tmp_path, DETECTION)
    shown = np.zeros((64, 32), np.uint8)
    shown[:32, :16] = 255  # the upper left quarter of the picture
    found = read_one(model, shown)
    assert decision(found).normality is Normality.NORMAL  # half of that quarter is margin
    assert found.regions == ()
    assert decision(found).leading.finding.value == "17621005"
    shown[:32] = 255
    found = read_one(model, shown)
    assert decision(found).normality is Normality.NORMAL
    square = np.zeros((64, 64), np.uint8)
    square[:32, 32:] = 255
    (only,) = read_one(model, square).regions
    assert only.finding.label == "spot"
    assert (only.left, only.top, only.right, only.bottom) == (32, 0, 64, 32)


def test_a_mask_covers_what_is_bright(tmp_path: Path) -> None:
    shown = np.zeros((80, 40), np.uint8)
    shown[40:, :] = 255
    (segment,) = read_one(loaded(tmp_path, SEGMENTATION), shown).segments
    rows, columns = segment.mask.shape
    assert (rows, columns) == (32, 16)
    assert segment.mask[20:, 1:-1].all()  # at the edges the margin shines in
    assert not segment.mask[:12].any()
    assert segment.share == pytest.approx(0.45, abs=0.06)


def test_a_mask_that_is_too_small_is_told_only_where_nothing_else_is(tmp_path: Path) -> None:
    (empty,) = read_one(loaded(tmp_path / "a", SEGMENTATION), DARK * 0).segments
    assert empty.share == 0
    both = loaded(tmp_path / "b", CLASSIFICATION + SEGMENTATION)
    assert read_one(both, DARK * 0).segments == ()
    large = loaded(tmp_path / "c", SEGMENTATION, ("minimum_share = 0.02", "minimum_share = 0.9"))
    assert read_one(large, HALF).segments[0].share == 0


def test_the_most_abnormal_image_makes_a_study_urgent(tmp_path: Path) -> None:
    model = loaded(tmp_path, CLASSIFICATION + URGENCY)
    urgent = read_pictures(model, {"1": DARK, "2": BRIGHT}).urgency
    assert urgent is not None
    assert (urgent.urgent, urgent.category, urgent.statement) == (True, 1, "Urgent: red.")
    undecided = read_pictures(model, {"1": DARK, "2": HALF}).urgency
    assert undecided is not None
    assert undecided.urgent is None
    waiting = read_pictures(model, {"1": DARK}).urgency
    assert waiting is not None
    assert waiting.urgent is False


def test_the_head_alone_goes_into_the_tensor_of_a_cropping_model(tmp_path: Path) -> None:
    small = np.zeros((200, 200), np.uint8)
    small[20:80, 100:160] = 255
    plain, cropping = (
        loaded(tmp_path / name, CLASSIFICATION, ("channels = 1", f'channels = 1\ncrop = "{name}"'))
        for name in ("none", "head")
    )
    assert decision(read_one(plain, small)).normality is Normality.NORMAL
    found = read_one(cropping, small)
    assert decision(found).normality is Normality.ABNORMAL
    assert found.heatmap is not None
    assert found.heatmap.shape == (200, 200)
    assert found.heatmap[50, 130] > 0.9
    assert found.heatmap[150, 30] == 0


def test_a_reading_says_what_was_assessed_and_in_which_words(tmp_path: Path) -> None:
    words = '[translations.ja]\n"pneumonia" = "肺炎"\n'
    package = read_package(write_package(tmp_path, sections=f"{CLASSIFICATION}{SCORE}{words}"))
    reading = read_pictures(Model(package, threads=1), {"1.2": np.zeros((64, 64), np.uint8)})
    assert reading.assessed == package.manifest.assessed
    assert reading.assessed[0] == "pneumonia"
    assert reading.translations == {"ja": {"pneumonia": "肺炎"}}
