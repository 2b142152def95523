"""The measurement report: what it says, read back by other software, and its simpler classes."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import Comprehensive3DSR, MeasurementReport
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from sr import codes
from sr.document import to_bytes
from sr.findings import Normality, Score
from sr.patient import SourceError
from sr.report import build_report, fallback_reports
from sr.wording import Words
from tests.sr_examples import (
    SEVERITY,
    WHEN,
    image_reading,
    latin,
    radiograph,
    reading,
    received,
    spot,
)
from tests.validators import concept, walk


def _built(source: Dataset, **options: object) -> Dataset:
    read = reading(image_reading(source, **options))  # type: ignore[arg-type]
    return build_report([source], read, when=WHEN)


def _one(report: Dataset, code: str) -> Dataset:
    items = [item for item in walk(report) if concept(item) == code]
    assert len(items) == 1, code
    return items[0]


def _value(report: Dataset, code: str) -> tuple[str, str]:
    measured = _one(report, code).MeasuredValueSequence[0]
    return str(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


def test_highdicom_reads_the_groups_back() -> None:
    first, second = received(radiograph(1)), received(radiograph(2))
    read = reading(image_reading(first), image_reading(second, Normality.NORMAL))
    report = build_report([first, second], read, when=WHEN)
    document = Comprehensive3DSR.from_dataset(dcmread(BytesIO(to_bytes(report))))
    content = document.content
    assert isinstance(content, MeasurementReport)
    groups = content.get_image_measurement_groups()
    assert [group.finding_type for group in groups] == [codes.PNEUMONIA, codes.NORMAL]
    assert [group.tracking_identifier for group in groups] == ["AI image 1", "AI image 2"]
    evaluations = [group.get_qualitative_evaluations(name=codes.NORMALITY) for group in groups]
    assert [each.value for [each] in evaluations] == [
        codes.normality(Normality.ABNORMAL),
        codes.normality(Normality.NORMAL),
    ]


def test_probabilities_are_in_percent_and_told_apart() -> None:
    report = _built(radiograph())
    assert _value(report, "P-233604007") == ("69.70", "%")
    assert _value(report, "P-17621005") == ("12.88", "%")
    assert _value(report, "P-840539006") == ("17.42", "%")
    assert _value(report, "PROB-ABNORMAL") == ("87.12", "%")
    assert _value(report, "OPERATING-POINT") == ("42.00", "%")
    name = _one(report, "P-840539006").ConceptNameCodeSequence[0]
    assert name.CodeMeaning == "Probability of COVID-19"


def test_what_decides_comes_first_for_viewers_that_show_a_few_numbers() -> None:
    report = _built(radiograph(), scores=SEVERITY)
    numbers = [concept(item) for item in walk(report) if item.get("ValueType") == "NUM"]
    in_group = numbers[numbers.index("PROB-ABNORMAL") :]
    assert in_group == [
        "PROB-ABNORMAL",
        "OPERATING-POINT",
        "P-233604007",
        "GEO-EXTENT",
        "OPACITY-SCORE",
        "P-17621005",
        "P-840539006",
    ]


def test_score_states_its_scale() -> None:
    extent = Score(name=codes.GEOGRAPHIC_EXTENT, value=3.25, lowest=0, highest=8)
    report = _built(radiograph(), scores=(extent,))
    assert _value(report, "GEO-EXTENT") == ("3.25", "{0:8}")


@pytest.mark.parametrize(
    ("normality", "code"),
    [
        (Normality.NORMAL, "17621005"),
        (Normality.ABNORMAL, "263654008"),
        (Normality.INDETERMINATE, "82334004"),
    ],
)
def test_normality_is_coded(normality: Normality, code: str) -> None:
    item = _one(_built(radiograph(), normality=normality), "121402")
    assert item.ConceptCodeSequence[0].CodeValue == code


def test_point_lies_where_activation_peaks() -> None:
    source = radiograph()  # 300 rows, 240 columns
    assert _one(_built(source, heatmap=spot(1, 6)), "121112").GraphicData == [195.0, 56.25]


@pytest.mark.parametrize("heatmap", [None, spot(1, 6)])
def test_point_of_a_normal_image_is_its_centre(heatmap: np.ndarray | None) -> None:
    report = _built(radiograph(), normality=Normality.NORMAL, heatmap=heatmap)
    assert _one(report, "121112").GraphicData == [120.0, 150.0]


@pytest.mark.parametrize("heatmap", [spot(1, 6) * np.float32(0.3), spot(1, 6) * np.nan])
def test_point_does_not_follow_what_the_overlay_does_not_show(heatmap: np.ndarray) -> None:
    assert _one(_built(radiograph(), heatmap=heatmap), "121112").GraphicData == [120.0, 150.0]


def test_fallbacks_say_the_same_in_other_classes() -> None:
    report = build_report([source := received(latin())], reading(image_reading(source)), when=WHEN)
    documents = [report, *fallback_reports(report)]
    read = [dcmread(BytesIO(to_bytes(each))) for each in documents]
    assert [each.SOPClassUID for each in read] == [
        Comprehensive3DSRStorage,
        ComprehensiveSRStorage,
        EnhancedSRStorage,
    ]
    for name in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({each[name].value for each in read}) == 3
    for each in read:
        assert each.file_meta.MediaStorageSOPInstanceUID == each.SOPInstanceUID
        assert each.PatientName == "Müller^Jörg"
        assert each.ContentSequence == read[0].ContentSequence


def test_times_follow_the_timezone_of_the_source() -> None:
    report = _built(radiograph())  # +0900
    assert (report.ContentDate, report.ContentTime) == ("20260305", "083015")
    assert report.TimezoneOffsetFromUTC == "+0900"


def test_later_report_names_its_predecessor() -> None:
    source = radiograph()
    earlier = _built(source)
    read = reading(image_reading(source))
    later = build_report([source, radiograph(2)], read, when=WHEN, predecessors=[earlier])
    assert later.SOPInstanceUID != earlier.SOPInstanceUID
    series = later.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == earlier.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == earlier.SOPInstanceUID


def test_order_is_referred_to() -> None:
    source = radiograph()
    order = Dataset()
    order.RequestedProcedureID = "RP1"
    order.RequestedProcedureDescription = "Chest PA"
    source.RequestAttributesSequence = [order]
    request = _built(received(source)).ReferencedRequestSequence[0]
    assert request.AccessionNumber == "A-4711"
    assert request.RequestedProcedureID == "RP1"
    assert request.RequestedProcedureDescription == "Chest PA"


def test_image_that_is_no_source_is_refused() -> None:
    with pytest.raises(SourceError, match="not among the sources"):
        build_report([radiograph(1)], reading(image_reading(radiograph(2))), when=WHEN)


def test_sources_of_two_studies_are_refused() -> None:
    other = radiograph(2)
    other.StudyInstanceUID = "1.2.3"
    with pytest.raises(SourceError, match="more than one study"):
        build_report([radiograph(1), other], reading(image_reading(other)), when=WHEN)


def test_no_sources_are_refused() -> None:
    with pytest.raises(SourceError, match="at least one"):
        build_report([], reading(image_reading(radiograph())), when=WHEN)


def test_what_was_not_decided_is_no_coded_disease() -> None:
    source = received(radiograph())
    image = image_reading(source, normality=Normality.INDETERMINATE)
    report = build_report([source], reading(image), when=WHEN)
    findings = [each for each in walk(report) if concept(each) == codes.FINDING.value]
    assert [each.ConceptCodeSequence[0].CodeMeaning for each in findings] == ["Indeterminate"]


def test_the_band_in_which_nothing_is_decided_is_told() -> None:
    source = received(radiograph())
    image = image_reading(source, normality=Normality.INDETERMINATE)
    assert image.decision is not None
    decision = replace(image.decision, band=(0.159, 0.692))
    told = Words().operating_point(decision)
    assert told.endswith(", indeterminate 15.9 to 69.2 %)")
