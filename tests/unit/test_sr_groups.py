"""Measurement groups of every kind: the study, slices, grades, boxes and outlines."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR, MeasurementReport
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from sr.document import to_bytes
from sr.findings import (
    ImageReading,
    Normality,
    NotAssessed,
    Reading,
    Region,
    Segment,
    Urgency,
)
from sr.patient import SourceError
from sr.reasons import Reason
from sr.report import build_report
from sr.style import Style
from sr.wording import Words
from tests.sr_examples import (
    LESION,
    MASS,
    READINGS,
    WHEN,
    box,
    ct_slice,
    image_reading,
    measured,
    radiograph,
    reading,
    received,
    series_reading,
    spot,
)
from tests.validators import concept, walk


def _one(report: Dataset, code: str) -> Dataset:
    items = [item for item in walk(report) if concept(item) == code]
    assert len(items) == 1, code
    return items[0]


def _value(report: Dataset, code: str) -> tuple[str, str]:
    measured = _one(report, code).MeasuredValueSequence[0]
    return str(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


def _group(report: Dataset, name: str) -> Dataset:
    """Return the measurement group with this tracking identifier."""
    (group,) = (
        item
        for item in walk(report)
        if concept(item) == "125007" and item.ContentSequence[0].TextValue == name
    )
    return group


def _names(report: Dataset) -> list[str]:
    return [item.TextValue for item in walk(report) if concept(item) == "112039"]


def _points(group: Dataset) -> np.ndarray:
    return np.array(_one(group, "111030").GraphicData).reshape(-1, 2)


def _selected(group: Dataset, code: str) -> str:
    """Return the image that coordinates were selected from."""
    return str(
        _one(group, code).ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    )


def _made(name: str) -> Dataset:
    sources, read = READINGS[name]()
    return build_report([received(each) for each in sources], read, when=WHEN)


def test_model_that_only_measures_finds_nothing_and_calls_nothing() -> None:
    report = _made("scores only")
    concepts = {concept(each) for each in walk(report)}
    assert concepts.isdisjoint({"121071", "121402", "PROB-ABNORMAL", "OPERATING-POINT"})
    assert _value(report, "OPACITY-SCORE") == ("2", "{0:6}")


def test_grade_is_coded_with_the_probability_of_every_level() -> None:
    report = _made("grade")
    assert _one(report, "DR-GRADE").ConceptCodeSequence[0].CodeMeaning == "Moderate"
    assert [_value(report, f"L{level}-DR-GRADE") for level in range(4)] == [
        ("4.00", "%"),
        ("10.00", "%"),
        ("71.00", "%"),
        ("15.00", "%"),
    ]
    name = _one(report, "L2-DR-GRADE").ConceptNameCodeSequence[0].CodeMeaning
    assert name == "Diabetic retinopathy grade: probability of Moderate"


def test_every_box_is_a_region_of_its_own() -> None:
    report = _made("detection")
    assert _names(report) == ["AI image 1", "AI finding 1", "AI finding 2"]
    assert _value(report, "REGIONS-MARKED") == ("2", "{regions}")
    first = _group(report, "AI finding 1")
    points = _points(first)
    assert [*points.min(axis=0), *points.max(axis=0)] == [20, 30, 90.5, 120]
    assert _one(first, "121071").ConceptCodeSequence[0].CodeValue == MASS.value
    assert _one(first, "130400").ConceptCodeSequence[0].CodeMeaning == "Bounded by"
    assert _value(first, f"P-{MASS.value}") == ("91.00", "%")
    assert _selected(first, "111030") == radiograph().SOPInstanceUID
    uids = [each.UID for each in walk(report) if concept(each) == "112040"]
    assert len(set(uids)) == 3


def test_boxes_of_several_images_are_numbered_on_and_tracked_apart() -> None:
    sources = [radiograph(1), radiograph(2)]
    images = [measured(each, regions=(box(1, 2, 30, 40),)) for each in sources]
    report = build_report(sources, reading(*images), when=WHEN)
    assert _names(report) == ["AI image 1", "AI finding 1", "AI image 2", "AI finding 2"]
    assert _selected(_group(report, "AI finding 2"), "111030") == sources[1].SOPInstanceUID
    # The same box of the same image keeps its tracking UID in a study that grew.
    alone = build_report(sources[1:], reading(images[1]), when=WHEN)
    assert _one(_group(alone, "AI finding 1"), "112040").UID == (
        _one(_group(report, "AI finding 2"), "112040").UID
    )


@settings(max_examples=20, deadline=None)
@given(
    left=st.floats(0, 200), top=st.floats(0, 250), width=st.floats(1, 40), height=st.floats(1, 50)
)
def test_box_survives_the_way_through_a_file(
    left: float, top: float, width: float, height: float
) -> None:
    source = radiograph()  # 300 rows, 240 columns
    region = box(left, top, left + width, top + height)
    report = build_report([source], reading(measured(source, regions=(region,))), when=WHEN)
    points = _points(dcmread(BytesIO(to_bytes(report))))
    edges = (region.left, region.top, region.right, region.bottom)
    assert [*points.min(axis=0), *points.max(axis=0)] == pytest.approx(edges, abs=0.011)


@pytest.mark.parametrize("region", [box(0, 0, 240.5, 10), box(0, 0, 10, 301)])
def test_box_beyond_its_image_is_refused(region: Region) -> None:
    source = radiograph()
    with pytest.raises(SourceError, match="reaches beyond"):
        build_report([source], reading(measured(source, regions=(region,))), when=WHEN)


def test_outlines_state_the_covered_share_of_an_image_without_calibration() -> None:
    report = _made("segmentation")
    parts = [f"AI outline of lesion, part {place}" for place in (1, 2, 3)]
    assert _names(report) == ["AI image 1", *parts]
    share, unit = _value(report, f"S-{LESION.value}")
    assert float(share) == pytest.approx(8.13)
    assert unit == "%"
    groups = [_group(report, each) for each in parts]
    shares = [float(_value(each, "COVERED-SHARE")[0]) for each in groups]
    assert sum(shares) == pytest.approx(float(share), abs=0.02)
    assert _one(groups[0], "130400").ConceptCodeSequence[0].CodeMeaning == "Outline"
    # A disc around row 20, column 20 of 64 cells; 300 rows, 240 columns.
    points = _points(groups[0])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    assert middle == pytest.approx((20.5 / 64 * 240, 20.5 / 64 * 300), abs=0.01)
    assert "42798000" not in {concept(each) for each in walk(report)}


def test_outlines_state_the_area_of_a_calibrated_image() -> None:
    sources, read = READINGS["calibrated segmentation"]()
    report = build_report(sources, replace(read, images=(_first_segment(read),)), when=WHEN)
    area, unit = _value(report, f"A-{LESION.value}")
    covered = read.images[0].segments[0].share * 300 * 240 * 0.2 * 0.2
    assert float(area) == pytest.approx(covered, rel=1e-5)
    assert unit == "mm2"
    parts = [_group(report, f"AI outline of lesion, part {place}") for place in (1, 2, 3)]
    assert sum(float(_value(each, "42798000")[0]) for each in parts) == pytest.approx(covered)


def _first_segment(read: Reading) -> ImageReading:
    return replace(read.images[0], segments=read.images[0].segments[:1])


def test_segment_of_nothing_has_no_outline() -> None:
    source = radiograph()
    nothing = Segment(finding=LESION, label="Lesion", mask=np.zeros((8, 8), np.bool_))
    report = build_report([source], reading(measured(source, segments=(nothing,))), when=WHEN)
    assert _names(report) == ["AI image 1"]
    assert _value(report, f"S-{LESION.value}") == ("0.00", "%")


def test_study_that_was_read_as_a_whole_comes_first() -> None:
    report = _made("abnormal study")
    slices = [f"AI slice, instance {number}" for number in (11, 12, 13)]
    assert [each for each in _names(report) if "activation" not in each] == ["AI study", *slices]
    study = _group(report, "AI study")
    assert _value(study, "IMAGES-READ") == ("4", "{images}")
    assert _value(study, "P-1386000") == ("87.12", "%")
    assert _value(study, "P-17621005") == ("12.88", "%")
    assert _value(study, "PROB-ABNORMAL") == ("87.12", "%")
    assert _value(study, "OPERATING-POINT") == ("42.00", "%")
    assert _one(study, "121402").ConceptCodeSequence[0].CodeMeaning == "Abnormal"
    # On the most suspicious slice, the second, apart from where its activation peaks.
    assert _selected(study, "121112") == ct_slice(2).SOPInstanceUID
    assert _one(study, "121112").GraphicData == pytest.approx([0.06 * 256, 0.06 * 256])
    second = _group(report, slices[1])
    assert _value(second, "P-1386000") == ("57.30", "%")
    assert _one(second, "121112").GraphicData == [4.5 / 8 * 256, 2.5 / 8 * 256]
    assert "121402" not in {concept(each) for each in walk(second)}


def test_activation_is_a_region_that_says_it_is_no_outline_of_disease() -> None:
    group = _group(_made("abnormal study"), "AI activation 2")
    explanation = _one(group, "130401")
    assert explanation.ConceptCodeSequence[0].CodeMeaning == "Class activation"
    assert "130400" not in {concept(each) for each in walk(group)}
    assert _selected(group, "111030") == ct_slice(2).SOPInstanceUID
    # Around the warm cell: row 2, column 4 of 8; 256 rows and columns.
    points = _points(group)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    assert middle == pytest.approx((4.5 / 8 * 256, 2.5 / 8 * 256), abs=1)
    assert _one(group, "121071").ConceptCodeSequence[0].CodeValue == "1386000"
    assert _value(group, "ACTIVATION-FROM") == ("60.00", "%")
    assert "P-1386000" not in {concept(each) for each in walk(group)}
    assert {"42798000", "COVERED-SHARE"}.isdisjoint(concept(each) for each in walk(group))


def test_activations_are_counted_through_the_images_and_tracked_by_their_own() -> None:
    report = _made("classification")  # normal, abnormal, indeterminate
    assert [each for each in _names(report) if "activation" in each] == [
        "AI activation 1",
        "AI activation 2",
    ]
    uids = [each.UID for each in walk(report) if concept(each) == "112040"]
    assert len(set(uids)) == len(uids) == 5
    abnormal, undecided = (_group(report, f"AI activation {number}") for number in (1, 2))
    assert _one(abnormal, "121071").ConceptCodeSequence[0].CodeMeaning == "Pneumonia"
    # What was not decided is not called.
    assert _one(undecided, "121071").ConceptCodeSequence[0].CodeMeaning == "Indeterminate"


def test_weak_activation_is_no_region() -> None:
    source = radiograph()
    weak = image_reading(source, heatmap=spot(2, 5) * np.float32(0.5))
    assert _names(build_report([source], reading(weak), when=WHEN)) == ["AI image 1"]


def test_suspicious_slices_have_their_rank() -> None:
    report = _made("abnormal study")
    ranks = [
        _value(_group(report, f"AI slice, instance {number}"), "SUSPICION-RANK")
        for number in (11, 12, 13)
    ]
    assert ranks == [("3", "{rank}"), ("1", "{rank}"), ("2", "{rank}")]


def test_report_of_a_series_stands_on_all_its_slices_and_lists_those_shown() -> None:
    report = _made("abnormal study")
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 4
    assert len(_one(report, "126200").ContentSequence) == 3


@pytest.mark.parametrize(
    ("name", "normality", "slices"),
    [("normal study", "Normal", []), ("indeterminate study", "Indeterminate", ["Indeterminate"])],
)
def test_slice_bears_no_disease_that_was_not_decided(
    name: str, normality: str, slices: list[str]
) -> None:
    found = [
        each.ConceptCodeSequence[0].CodeMeaning
        for each in walk(_made(name))
        if concept(each) == "121071"
    ]
    # Each slice, and the region of its activation.
    assert found == [normality, *(slices * 6)]


def test_slice_without_a_number_is_named_by_its_place() -> None:
    source = ct_slice()
    del source.InstanceNumber
    report = build_report([source], series_reading([source]), when=WHEN)
    assert _names(report) == ["AI study", "AI slice, 1 of 1 shown", "AI activation 1"]


def test_slice_that_the_study_does_not_name_bears_no_finding() -> None:
    sources = [ct_slice(number) for number in (1, 2, 3)]
    read = series_reading(sources)
    assert read.study is not None
    study = replace(read.study, suspicious=read.study.suspicious[:1])
    report = build_report(sources, replace(read, study=study), when=WHEN)
    found = [_names_finding(report, f"AI slice, instance {number}") for number in (11, 12, 13)]
    assert found == [False, True, False]


def _names_finding(report: Dataset, name: str) -> bool:
    return "121071" in {concept(each) for each in walk(_group(report, name))}


def test_urgent_study_has_a_category_and_the_rule_in_words() -> None:
    for name, group in (("abnormal study", "AI study"), ("classification", "AI image 1")):
        told = _group(_made(name), group)
        assert _one(told, "ACTIONABLE").ConceptCodeSequence[0].CodeValue == "RID49481"
        assert _one(told, "103391001").TextValue == "Red triage tag"


@pytest.mark.parametrize(
    ("name", "statement"), [("normal study", "Can wait."), ("grade", "Triage without AI result.")]
)
def test_any_other_study_has_the_words_alone(name: str, statement: str) -> None:
    report = _made(name)
    assert _one(report, "103391001").TextValue == statement
    assert "ACTIONABLE" not in {concept(each) for each in walk(report)}


@pytest.mark.parametrize(
    ("name", "images", "regions"),
    [("detection", 1, 2), ("segmentation", 1, 3), ("abnormal study", 4, 3)],
)
def test_highdicom_tells_regions_from_images(name: str, images: int, regions: int) -> None:
    document = Comprehensive3DSR.from_dataset(dcmread(BytesIO(to_bytes(_made(name)))))
    content = document.content
    assert isinstance(content, MeasurementReport)
    assert len(content.get_image_measurement_groups()) == images
    assert len(content.get_planar_roi_measurement_groups()) == regions


def _comments(read: Reading, language: str = "en") -> list[str]:
    """Return the comments on the report as a whole."""
    source = received(radiograph())
    report = build_report([source], read, when=WHEN, style=Style(language=language))
    return [each.TextValue for each in walk(report) if concept(each) == "121106"]


def test_report_says_what_the_model_looks_for_and_what_it_did_not_read() -> None:
    left_out = NotAssessed(images=2, reason=Reason("a localizer is not read"))
    read = replace(
        reading(image_reading(radiograph())),
        assessed=("Pneumonia", "COVID-19"),
        not_assessed=(left_out,),
    )
    notice, assessed, unread = _comments(read)
    assert "not for diagnosis" in notice.lower()
    assert assessed == "Assessed only: pneumonia, COVID-19; nothing else was assessed."
    assert unread == "2 images were not read: a localizer is not read."


def test_report_with_a_heat_map_says_what_it_is_not() -> None:
    shown = image_reading(radiograph(), heatmap=spot(2, 5))
    assert _comments(reading(shown))[1:] == ["Where the model looked, not how far disease extends."]
    normal = image_reading(radiograph(), Normality.NORMAL, heatmap=spot(2, 5))
    assert len(_comments(reading(normal))) == 1


def test_report_in_another_language_has_the_notice_in_english_too() -> None:
    told, english = _comments(reading(image_reading(radiograph())), language="ja")
    assert "診断" in told
    assert english == Words().notice


@pytest.mark.parametrize(
    ("told", "character_set"),
    [("Sofort lesen: Lungenentzündung.", "ISO_IR 100"), ("至急読影。", "ISO_IR 192")],
)
def test_words_of_a_model_that_ascii_lacks_widen_the_character_set(
    told: str, character_set: str
) -> None:
    source = received(radiograph())
    urgency = Urgency(urgent=True, category=1, statement=told)
    read = replace(reading(image_reading(source)), urgency=urgency)
    report = dcmread(BytesIO(to_bytes(build_report([source], read, when=WHEN))))
    assert report.SpecificCharacterSet == character_set
    assert _one(report, "103391001").TextValue == told
