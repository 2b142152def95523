"""Patient and study attributes: copied byte for byte, whatever the source looks like."""

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from sr.document import to_bytes
from sr.findings import Algorithm
from sr.patient import (
    SourceError,
    check_source,
    image_area,
    instance_number,
    local_time,
    put_patient_and_study,
    spacing,
)
from sr.report import build_report
from tests.sr_examples import (
    SOURCES,
    WHEN,
    image_reading,
    japanese,
    latin,
    radiograph,
    reading,
    received,
)

_PATIENT_NAME = Tag(0x0010, 0x0010)


def _copied(source: Dataset, *texts: str) -> Dataset:
    target = Dataset()
    put_patient_and_study(target, source, texts)
    return target


def _report(source: Dataset, algorithm: Algorithm | None = None) -> Dataset:
    read = reading(image_reading(source))
    if algorithm is not None:
        read = reading(image_reading(source), algorithm=algorithm)
    return dcmread(BytesIO(to_bytes(build_report([source], read, when=WHEN))))


def _stored(dataset: Dataset, tag: BaseTag = _PATIENT_NAME) -> bytes:
    element: object = dataset.get_item(tag)
    assert isinstance(element, RawDataElement)
    return element.value or b""


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("name", ["DX", "Japanese", "Latin-1", "UTF-8"])
def test_name_keeps_its_bytes(name: str, implicit: bool) -> None:
    source = received(SOURCES[name](), implicit=implicit)
    expected = _stored(received(SOURCES[name](), implicit=implicit))
    report = _report(source)
    assert _stored(report) == expected
    assert report.PatientName == SOURCES[name]().PatientName


def test_name_keeps_its_bytes_after_someone_looked_at_it() -> None:
    source = received(japanese())
    expected = _stored(received(japanese()))
    assert source.PatientName.ideographic == "山田^太郎"
    assert _stored(_report(source)) == expected


@settings(max_examples=25, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=40))
def test_any_utf_8_text_survives(text: str) -> None:
    source = radiograph()
    source.SpecificCharacterSet = "ISO_IR 192"
    source.StudyDescription = text = text.replace("\\", "")
    assert (_report(received(source)).get("StudyDescription") or "") == text


def test_model_title_that_the_character_set_lacks_turns_everything_into_utf_8() -> None:
    algorithm = Algorithm(name="胸部", version="1", manufacturer="m", title="Röntgen α")  # noqa: RUF001
    for make in (japanese, latin, radiograph):
        report = _report(received(make()), algorithm)
        assert report.SpecificCharacterSet == "ISO_IR 192"
        assert report.PatientName == make().PatientName
        assert report.ContributingEquipmentSequence[0].ManufacturerModelName == "胸部"


def test_model_title_in_the_character_set_keeps_it() -> None:
    algorithm = Algorithm(name="Lungenentzündung", version="1", manufacturer="m", title="t")
    report = _report(received(latin()), algorithm)
    assert report.SpecificCharacterSet == "ISO_IR 100"
    assert report.ContributingEquipmentSequence[0].ManufacturerModelName == "Lungenentzündung"


CHARACTER_SETS = {
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "half-width": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "Latin-1": ("ISO_IR 100", "Müller^Jörg"),
    "Latin-1 and kanji": (["ISO 2022 IR 100", "ISO 2022 IR 87"], "Müller^Jörg=山田^太郎"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "Cyrillic": ("ISO_IR 144", "Иванов^Иван"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    "none": (None, "Ward^Test"),
}
JAPANESE, FRENCH, ENGLISH = "頭蓋内出血。診断には使用しないこと。", "Modèle à vérifier", "No."
KEPT = {
    ("Japanese", JAPANESE),
    ("half-width", JAPANESE),
    ("Latin-1", FRENCH),
    ("Latin-1 and kanji", FRENCH),
    ("Latin-1 and kanji", JAPANESE),
    ("Chinese", JAPANESE),
    ("Chinese", FRENCH),
    ("UTF-8", JAPANESE),
    ("UTF-8", FRENCH),
}


@pytest.mark.parametrize("text", [JAPANESE, FRENCH, ENGLISH])
@pytest.mark.parametrize("name", CHARACTER_SETS)
def test_character_set_is_kept_where_it_holds_all_text(name: str, text: str) -> None:
    character_set, patient = CHARACTER_SETS[name]
    source = radiograph()
    if character_set is not None:
        source.SpecificCharacterSet = character_set
    source.PatientName = patient
    algorithm = Algorithm(name="n", version="1", manufacturer="m", title=text)
    report = _report(received(source), algorithm)
    assert report.ContributingEquipmentSequence[0].ContributionDescription == text
    assert report.PatientName == patient
    kept = (name, text) in KEPT or text is ENGLISH
    assert (report.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")) is kept
    if kept:
        assert _stored(_report(received(source), algorithm)) == _stored(received(source))
    else:
        extended = (name, text) == ("none", FRENCH)
        assert report.SpecificCharacterSet == ("ISO_IR 100" if extended else "ISO_IR 192")


def test_character_set_without_letters_is_not_kept() -> None:
    source = received(japanese())
    source.SpecificCharacterSet = "ISO 2022 IR 87"
    assert _copied(source, "No.").SpecificCharacterSet == "ISO_IR 192"


def test_latin_letters_are_not_slipped_into_a_japanese_character_set() -> None:
    for text in ("Modèle", "胸部 é"):
        assert _copied(received(japanese()), text).SpecificCharacterSet == "ISO_IR 192"


def test_code_sequences_are_recoded_with_the_rest() -> None:
    source = latin()
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator = "X1", "99HOSPITAL"
    procedure.CodeMeaning = "Röntgen"
    source.ProcedureCodeSequence = [procedure]
    algorithm = Algorithm(name="α", version="1", manufacturer="m", title="t")  # noqa: RUF001
    for report in (_report(received(source)), _report(received(source), algorithm)):
        assert report.ProcedureCodeSequence[0].CodeMeaning == "Röntgen"


def test_malformed_values_stay_as_they_came() -> None:
    source = received(radiograph())
    for tag, vr, value in (
        (0x00080020, "DA", b"1993.02.24"),
        (0x00100030, "DA", b"unknown "),
        (0x00100020, "LO", b"x" * 80),
    ):
        source[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    report = _report(source)
    assert _stored(report, Tag(0x0008, 0x0020)) == b"1993.02.24"
    assert _stored(report, Tag(0x0010, 0x0030)) == b"unknown "
    assert _stored(report, Tag(0x0010, 0x0020)) == b"x" * 80


def test_odd_length_is_padded() -> None:
    source = received(radiograph())
    tag = Tag(0x0010, 0x0020)
    source[tag] = RawDataElement(tag, "LO", 3, b"odd", 0, False, True)
    assert _stored(_report(source), tag) == b"odd "


def test_what_is_missing_is_empty_and_not_invented() -> None:
    target = _copied(received(SOURCES["bare"]()))
    for name in ("PatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        assert name in target
        assert not target[name].value
    for name in ("IssuerOfPatientID", "TimezoneOffsetFromUTC", "StudyDescription"):
        assert name not in target


@pytest.mark.parametrize(
    "name", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_source_without_uid_is_refused_by_name(name: str) -> None:
    source = radiograph()
    delattr(source, name)
    with pytest.raises(SourceError, match=name):
        check_source(source)


def test_refusal_does_not_quote_the_value() -> None:
    source = radiograph()
    with pytest.warns(UserWarning, match="Invalid value"):
        source.StudyInstanceUID = "Ward^Test"
    with pytest.raises(SourceError) as refused:
        check_source(source)
    assert "Ward" not in str(refused.value)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("+0900", "20260305083015"),
        ("-0430", "20260304190015"),
        ("+1400", "20260305133015"),
        ("", "20260304233015"),
        ("+2500", "20260304233015"),
        ("MEZ", "20260304233015"),
    ],
)
def test_new_times_are_in_the_offset_of_the_source(offset: str, expected: str) -> None:
    source = Dataset()
    source.TimezoneOffsetFromUTC = offset
    assert f"{local_time(WHEN, source):%Y%m%d%H%M%S}" == expected


def test_without_offset_the_wall_time_of_the_caller_counts() -> None:
    tokyo = datetime(2026, 3, 5, 8, 30, tzinfo=timezone(timedelta(hours=9)))
    assert local_time(tokyo, Dataset()) == tokyo
    assert f"{local_time(tokyo, Dataset()):%H%M}" == "0830"
    assert local_time(tokyo.astimezone(UTC), Dataset()).hour == 23


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_time(datetime(2026, 3, 4), Dataset())  # noqa: DTZ001


@pytest.mark.parametrize(
    ("value", "expected"),
    [(["0.1", "0.2"], (0.1, 0.2)), (["0", "0.2"], None), ([], None), (["0.1"], None)],
)
def test_spacing_is_two_positive_numbers(
    value: list[str], expected: tuple[float, float] | None
) -> None:
    source = Dataset()
    source.PixelSpacing = value
    assert spacing(source, "PixelSpacing") == expected


def test_area_of_an_image_is_known_only_where_it_is_calibrated() -> None:
    source = radiograph()  # 300 x 240 pixels, Imager Pixel Spacing only
    assert image_area(source) is None
    source.PixelSpacing = ["0.2", "0.1"]
    assert image_area(source) == pytest.approx(300 * 0.2 * 240 * 0.1)


@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
@pytest.mark.parametrize(
    ("value", "expected"), [(b"12", 12), (b" 7 ", 7), (b"", None), (b"1a", None), (b"1\\2", None)]
)
def test_instance_number_is_a_number_or_nothing(value: bytes, expected: int | None) -> None:
    source = Dataset()
    assert instance_number(source) is None
    tag = Tag(0x0020, 0x0013)
    source[tag] = RawDataElement(tag, "IS", len(value), value, 0, False, True)
    assert instance_number(source) == expected


@pytest.mark.parametrize("method", ["", None, "Profile of a trial"])
def test_identity_is_said_to_be_removed_only_with_its_method(method: str | None) -> None:
    source = radiograph()
    source.PatientIdentityRemoved = "YES"
    if method is not None:
        source.DeidentificationMethod = method
    result = Dataset()
    put_patient_and_study(result, source, [])
    told = {each.keyword for each in result} & {"PatientIdentityRemoved", "DeidentificationMethod"}
    assert len(told) == (2 if method else 0)
