"""Which images fit a model, and what is said of those that do not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from inference.errors import PixelError
from inference.files import read_file
from inference.package import Package, read_package
from inference.routing import ELEMENTS, age_of, body_part_of, misfit, route, view_of
from tests.dicomfiles import PATIENT, PATIENT_ID, as_file, code, header, image
from tests.tinymodel import write_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return read_package(write_package(tmp_path_factory.mktemp("models")))


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"Modality": "CR"},
        {"BodyPartExamined": "THORAX"},
        {"BodyPartExamined": " chest "},
        {"ViewPosition": "ap"},
        {"ViewPosition": ""},
        {"ViewPosition": None},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"NumberOfFrames": 1},
        {"ImageType": None},
        {"ImageType": ["DERIVED", "PRIMARY"]},
        {"ImageType": "ORIGINAL"},
        {"PatientSpeciesDescription": "Homo Sapiens"},
        {"PatientSpeciesDescription": ""},
        {"Rows": 16, "Columns": 16},
        {"BodyPartExamined": None, "AnatomicRegionSequence": code("51185008")},
        {"BodyPartExamined": "", "AnatomicRegionSequence": code("T-D3000", "SRT")},
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_what_fits(package: Package, elements: dict[str, Any]) -> None:
    routed = route(package, [header(**elements)])
    assert routed.reason == ""
    assert routed.fitting == ("1.2.826.0.1.3680043.10.1.77.1.1",)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "modality CT is not CR or DX"),
        ({"Modality": None}, "modality missing is not CR or DX"),
        ({"BodyPartExamined": "HAND"}, "body part HAND is not CHEST or THORAX"),
        ({"BodyPartExamined": ""}, "body part missing is not CHEST or THORAX"),
        (
            {"BodyPartExamined": None, "AnatomicRegionSequence": code("40983000")},
            "body part missing is not",
        ),
        ({"BodyPartExamined": None, "AnatomicRegionSequence": []}, "body part missing is not"),
        ({"ViewPosition": "LL"}, "view LL is not PA or AP or missing"),
        ({"ViewPosition": "", "ViewCodeSequence": code("399198007")}, "view RL is not PA"),
        ({"ViewPosition": "", "SeriesDescription": "Chest Lateral"}, "view LAT is not PA"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER"]}, "a derived secondary image is not"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer is not read"),
        ({"PatientSpeciesDescription": "Canis lupus"}, "the patient is an animal"),
        ({"NumberOfFrames": 12}, "the image has 12 frames, the model reads single images"),
        (
            {"PhotometricInterpretation": "YBR_FULL"},
            "photometric interpretation YBR_FULL is not greyscale",
        ),
        ({"PhotometricInterpretation": None}, "photometric interpretation missing is not"),
        ({"Rows": 15}, "matrix 15 x 32 is smaller than 16 x 16"),
        ({"Columns": 15}, "matrix 40 x 15 is smaller than 16 x 16"),
        ({"Rows": None}, "not an image"),
        ({"Columns": 0}, "not an image"),
    ],
)
def test_what_does_not_fit_says_why(
    package: Package, elements: dict[str, Any], reason: str
) -> None:
    routed = route(package, [header(**elements)])
    assert routed.fitting == ()
    assert reason in routed.reason
    assert PATIENT not in routed.reason
    assert PATIENT_ID not in routed.reason


def test_a_study_without_images(package: Package) -> None:
    assert route(package, []).reason == "the study has no images"


def test_of_a_mixed_study_what_fits_is_read_in_order(package: Package) -> None:
    study = [header(1), header(2, ViewPosition="LL"), header(3, Modality="CT"), header(4)]
    routed = route(package, study)
    assert [uid[-1] for uid in routed.fitting] == ["1", "4"]
    assert routed.reason == ""


def test_reasons_are_said_once(package: Package) -> None:
    study = [header(1, Modality="CT"), header(2, Modality="CT"), header(3, ViewPosition="LL")]
    assert route(package, study).reason == (
        "modality CT is not CR or DX; view LL is not PA or AP or missing"
    )


def test_a_terminal_obeys_nothing_that_a_peer_wrote(package: Package) -> None:
    hostile = header()
    hostile.add_new("ViewPosition", "LO", "\x1b[2J" + "X" * 40)
    reason = route(package, [hostile]).reason
    assert reason == "view ?[2JXXXXXXXXXXXX is not PA or AP or missing"


@pytest.mark.filterwarnings("ignore:Invalid value for VR IS")
def test_a_malformed_element_stops_only_its_image(package: Package) -> None:
    broken = header(1)
    broken.add_new("NumberOfFrames", "LO", "some")
    assert route(package, [broken]).reason == "a header element is malformed (ValueError)"
    assert len(route(package, [broken, header(2)]).fitting) == 1


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"ViewPosition": "PA", "SeriesDescription": "CHEST AP"}, "PA"),
        ({"ViewPosition": None, "ViewCodeSequence": code("R-10206", "SRT")}, "AP"),
        ({"ViewPosition": "", "ViewCodeSequence": code("272479007")}, "PA"),
        ({"ViewPosition": "", "SeriesDescription": "CHEST AP PORT"}, "AP"),
        ({"ViewPosition": "", "SeriesDescription": "Thorax p.a."}, "PA"),
        ({"ViewPosition": "", "ProtocolName": "W033 chest_lat"}, "LAT"),
        ({"ViewPosition": "", "AcquisitionDeviceProcessingDescription": "AP"}, "AP"),
        ({"ViewPosition": "", "SeriesDescription": "CHEST PA AND LAT"}, ""),
        ({"ViewPosition": "", "SeriesDescription": "PAED LATEX CAPACITY"}, ""),
        ({"ViewPosition": "", "SeriesDescription": "DOSE MAP"}, ""),
        ({"ViewPosition": "", "SeriesDescription": "PA", "ProtocolName": "PA"}, "PA"),
        ({"ViewPosition": "", "SeriesDescription": "PA", "ProtocolName": "AP"}, ""),
        ({"ViewPosition": ""}, ""),
    ],
)
def test_the_view_is_found_where_consoles_write_it(elements: dict[str, Any], view: str) -> None:
    assert view_of(header(**elements)) == view


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("69536005", "HEAD"),
        ("T-D1100", "HEAD"),
        ("12738006", "BRAIN"),
        ("89546000", "SKULL"),
        ("51185008", "CHEST"),
        ("40983000", ""),
    ],
)
def test_the_body_part_is_read_from_its_code(value: str, part: str) -> None:
    assert body_part_of(header(BodyPartExamined="", AnatomicRegionSequence=code(value))) == part


def test_without_views_in_the_manifest_any_view_fits(package: Package) -> None:
    anything = package.manifest.accepts.model_copy(update={"view": []})
    assert misfit(anything, header(ViewPosition="LL")) is None


def test_the_body_part_that_is_stated_comes_first() -> None:
    assert body_part_of(header(AnatomicRegionSequence=code("40983000"))) == "CHEST"


def test_the_elements_are_all_that_routing_looks_at(package: Package, tmp_path: Path) -> None:
    whole = image(
        ViewPosition="",
        ViewCodeSequence=code("399348003"),
        AnatomicRegionSequence=code("51185008"),
        SeriesDescription="CHEST",
        ProtocolName="CHEST",
        AcquisitionDeviceProcessingDescription="CHEST",
        PatientSpeciesDescription="Felis catus",
    )
    file = tmp_path / "image.dcm"
    file.write_bytes(as_file(whole))
    read = read_file(file, ELEMENTS)
    assert "PixelData" not in read
    assert "PatientName" not in read
    for each in (whole, dcmread(BytesIO(as_file(whole))), read):
        assert misfit(package.manifest.accepts, each) == "the patient is an animal"
        assert (view_of(each), body_part_of(each)) == ("AP", "CHEST")
    assert Dataset.__eq__(read.ViewCodeSequence[0], whole.ViewCodeSequence[0])


@pytest.mark.parametrize("content", [None, b"", b"no dicom", b"\0" * 128 + b"DICM" + b"\xff" * 99])
def test_a_file_that_is_no_image_is_a_pixel_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "image.dcm"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PixelError, match="archived file cannot be read"):
        read_file(file, ELEMENTS)


def test_raw_detector_data_is_not_read(package: Package) -> None:
    raw = image(PresentationIntentType="FOR PROCESSING")
    assert misfit(package.manifest.accepts, raw) == "raw detector data (FOR PROCESSING) is not read"
    assert (
        misfit(package.manifest.accepts, image(PresentationIntentType="FOR PRESENTATION")) is None
    )


@pytest.mark.parametrize(
    ("age", "born", "years"),
    [
        ("002Y", None, 2),
        ("018M", None, 1.5),
        ("014D", None, 14 / 365.25),
        (None, "20100101", 14),
        ("", "20100101", 14),
        ("adult", None, None),
        (None, "1990", None),
        (None, None, None),
    ],
)
def test_age_is_stated_or_reckoned(age: str | None, born: str | None, years: float | None) -> None:
    header = Dataset()
    header.StudyDate = "20240101"
    for keyword, value in (("PatientAge", age), ("PatientBirthDate", born)):
        if value is not None:
            header.add_new(keyword, "LO", value)
    found = age_of(header)
    assert found == (None if years is None else pytest.approx(years, abs=0.02))


def test_a_ct_slice_without_units_is_not_read_in_a_window(tmp_path: Path) -> None:
    folder = write_package(
        tmp_path,
        ('modality = ["CR", "DX"]', 'modality = ["CT", "DX"]'),
        ("channels = 1", "channels = 1\nwindow = [40, 80]"),
    )
    windowed = read_package(folder)
    bare = header(Modality="CT")
    assert route(windowed, [bare]).reason == "the CT slices have no Rescale Slope (0028,1053)"
    assert route(windowed, [header(Modality="CT", RescaleSlope=1, RescaleIntercept=0)]).fitting
    assert route(windowed, [header()]).fitting


def test_children_are_not_read_by_a_model_for_adults(package: Package) -> None:
    adults = package.manifest.accepts.model_copy(update={"minimum_age_years": 18})
    assert misfit(adults, image(PatientAge="017Y")) == "the patient is younger than 18 years"
    assert misfit(adults, image(PatientAge="018Y")) is None
    assert misfit(adults, image(PatientAge="")) is None
