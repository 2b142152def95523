"""The simulator: what a run consists of, and studies that nobody takes for a patient's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from tests.validators import dcentvfy, dciodvfy, missing_tools
from wetread.phantom import chest_study
from wetread.simulate.making import Made, draw, make
from wetread.simulate.mark import Subject, is_test_study, mark
from wetread.simulate.plan import Kind, Order, Pattern, Plan
from wetread.simulate.tally import Outcome, Tally

KINDS: tuple[Kind, ...] = ("chest", "chest-cr", "head")
SUBJECT = Subject(group=7, number=3, birth_year=1950)


def order(number: int = 0, kind: Kind = "head", finding: bool = False) -> Order:
    pattern = Pattern(kind=kind, seed=7, finding=finding, small=True)
    return Order(number=number, pattern=pattern, subject=SUBJECT)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where patterns are kept, so that each is drawn once in this module."""
    return tmp_path_factory.mktemp("simulate")


def read(made: Made) -> list[FileDataset]:
    return [dcmread(each) for each in made.paths]


def test_a_number_says_what_a_study_is() -> None:
    plan = Plan(kinds=KINDS, subjects=4, seed=5)
    assert [plan.order(each) for each in range(20)] == list(plan.orders(20))
    assert plan.order(3) != Plan(kinds=KINDS, subjects=4, seed=6).order(3)


def test_kinds_come_in_turn_and_one_named_twice_twice_as_often() -> None:
    orders = Plan(kinds=("chest", "chest", "head")).orders(30)
    assert Counter(each.pattern.kind for each in orders) == {"chest": 20, "head": 10}


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.3, 35, 85), (1.0, 200, 200)])
def test_a_share_has_findings(share: float, least: int, most: int) -> None:
    orders = Plan(findings=share).orders(200)
    assert least <= sum(each.pattern.finding for each in orders) <= most


def test_each_study_has_a_subject_of_its_own_or_they_share_some() -> None:
    assert len({each.subject for each in Plan().orders(50)}) == 50
    of_subject: dict[str, set[tuple[int, int]]] = {}
    for each in Plan(subjects=5).orders(50):
        seen = of_subject.setdefault(each.subject.patient_id, set())
        seen.add((each.subject.birth_year, each.pattern.seed))
    assert len(of_subject) == 5
    assert all(len(each) == 1 for each in of_subject.values())  # they always look the same


def test_no_more_patients_are_drawn_than_were_asked_for() -> None:
    assert len({each.pattern.seed for each in Plan(distinct=3).orders(60)}) == 3


def test_a_study_is_marked_in_every_usual_place(root: Path) -> None:
    for each in read(make(order(1), root)):
        assert is_test_study(each)
        assert str(each.PatientName) == "TEST^WETREAD^7-3"
        assert each.PatientID == "WETREAD-TEST-7-3"
        assert each.QualityControlSubject == "YES"
        assert each.StudyDescription.startswith("TEST ")
        assert each.InstitutionName == "wetread simulator"


def test_one_mark_alone_makes_no_test_study() -> None:
    (drawn,) = chest_study(seed=1, rows=64, columns=64)
    assert not is_test_study(drawn)
    assert not is_test_study(Dataset())
    mark(drawn, SUBJECT)
    assert is_test_study(drawn)
    drawn.PatientID = "4711"
    assert not is_test_study(drawn)
    mark(drawn, SUBJECT)
    del drawn.QualityControlSubject
    assert not is_test_study(drawn)


def test_the_same_picture_is_sent_under_new_identifiers(root: Path) -> None:
    first, second = read(make(order(2), root)), read(make(order(3), root))
    assert [each.PixelData for each in first] == [each.PixelData for each in second]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({str(each[keyword].value) for each in first + second}) == 2
    uids = {each.SOPInstanceUID for each in first + second}
    assert len(uids) == 40
    assert uids == {each.file_meta.MediaStorageSOPInstanceUID for each in first + second}
    assert len({each.AccessionNumber for each in first + second}) == 2


def test_a_study_lies_alone_in_its_folder(root: Path) -> None:
    made = make(order(4), root)
    assert sorted(made.folder.iterdir()) == sorted(made.paths)
    assert made.sizes == tuple(each.stat().st_size for each in made.paths)
    assert "7-3" not in "".join(str(each.relative_to(root)) for each in made.paths)


@pytest.mark.parametrize("kind", KINDS)
def test_validators_find_no_fault(root: Path, kind: Kind) -> None:
    if missing := missing_tools("dciodvfy", "dcentvfy"):
        pytest.skip(missing)
    made = make(order(10 + KINDS.index(kind), kind), root)
    assert dciodvfy(made.paths[0]) == []
    assert dcentvfy(made.paths) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_finding_changes_the_picture(kind: Kind) -> None:
    normal, ill = (
        draw(Pattern(kind=kind, seed=7, finding=finding, small=True)) for finding in (False, True)
    )
    assert [each.PixelData for each in normal] != [each.PixelData for each in ill]
    assert {each.Modality for each in ill} == {
        {"chest": "DX", "chest-cr": "CR", "head": "CT"}[kind]
    }


def outcome(stored: int, seconds: float, **given: bool) -> Outcome:
    reasons = Counter({"refused with status A700": 2 - stored}) if stored < 2 else Counter()
    return Outcome(
        number=0, kind="head", instances=2, stored=stored, sent_bytes=1_000_000 * stored,
        seconds=seconds, statuses=Counter({"0000": stored}), reasons=reasons, **given,
    )  # fmt: skip


def test_outcomes_are_added_up() -> None:
    tally = Tally()
    for seconds in range(1, 20):
        tally.add(outcome(2, float(seconds)))
    tally.add(outcome(1, 20.0))
    shown = tally.summary(elapsed_seconds=60.0)
    assert (shown["studies"], shown["studies_stored"]) == (20, 19)
    assert (shown["instances"], shown["instances_stored"]) == (40, 39)
    assert (shown["study_seconds_median"], shown["study_seconds_p95"]) == (10.5, 19.0)
    assert (shown["studies_per_minute"], shown["megabytes_per_second"]) == (19.0, 0.65)
    assert shown["reasons"] == {"refused with status A700": 1}


def test_what_was_not_sent_has_no_time() -> None:
    tally = Tally()
    tally.add(outcome(0, 3.0, no_association=True))
    shown = tally.summary(elapsed_seconds=0.0)
    assert (shown["study_seconds_median"], shown["study_seconds_p95"]) == (None, None)
