"""Figures with known answers, and what becomes of them: JSON, tables, card, page, plots."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.answers import decide
from inference.manifest import ClassificationSection
from sr.findings import Normality, Probability
from tests.tinytraining import ABNORMAL, example, image_recipe, recipe_of
from training import baselines
from training.answers import Answers
from training.card import card
from training.collection import Example
from training.errors import EvaluationError
from training.evaluate import Floats
from training.figures import (
    Asked,
    advantage,
    answers,
    area,
    confusion,
    error_figures,
    overall,
)
from training.measure import Material, measure_images, measure_series, within
from training.page import write_page
from training.plots import draw_plots
from training.record import series_of
from training.tables import Table, counts, interval, markdown, share, signed, tables

NAMES = ["normal", ABNORMAL]


def section(threshold: float = 0.5, band: Any = None) -> ClassificationSection:
    classes = image_recipe()["class"]
    stated = {"output": "p", "threshold": threshold, "operating_point": "tests"}
    return ClassificationSection(**{**stated, "class": classes, "indeterminate": band})


def asked(score: Any, positive: Any, groups: Any = None) -> Asked:
    names = [str(n) for n in range(len(score))] if groups is None else groups
    return Asked(score=np.array(score, float), positive=np.array(positive, bool), groups=names)


# -- figures of one question --


def test_a_perfect_score_has_perfect_figures() -> None:
    found = overall(asked([0.1] * 20 + [0.9] * 10, [0] * 20 + [1] * 10), 0.5, None)
    assert found["n"] == [10, 20]
    for name in ("auc", "average_precision", "sensitivity", "specificity", "accuracy"):
        assert found[name] == [1.0, 1.0, 1.0], name
    assert found["calibration_error"] == 0.1
    assert all(each["ppv"] == each["npv"] == 1.0 for each in found["predictive_values"])
    assert found["answers"]["yes"] == {"abnormal": 1.0, "indeterminate": 0.0, "normal": 0.0}


def test_a_score_that_says_nothing_has_an_area_of_one_half() -> None:
    found = overall(asked([0.5] * 30, [0, 1] * 15), 0.5, None)
    assert found["auc"] == [0.5, 0.5, 0.5]
    assert found["sensitivity"][0] == 1.0
    assert found["specificity"][0] == 0.0


def test_rates_at_the_threshold_are_those_that_can_be_counted() -> None:
    score = [0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7, 0.8]
    found = overall(asked(score, [0, 0, 0, 0, 1, 1, 1, 1]), 0.5, (0.45, 0.65))
    assert found["sensitivity"][0] == 0.75
    assert found["specificity"][0] == 0.75
    assert found["accuracy"][0] == 0.75
    assert found["answers"]["yes"] == {"abnormal": 0.5, "indeterminate": 0.25, "normal": 0.25}
    assert found["answers"]["no"] == {"abnormal": 0.0, "indeterminate": 0.25, "normal": 0.75}
    low, half = found["predictive_values"][0], found["predictive_values"][-1]
    assert (half["prevalence"], half["ppv"], half["npv"]) == (0.5, 0.75, 0.75)
    assert low["ppv"] == pytest.approx(0.75 * 0.05 / (0.75 * 0.05 + 0.25 * 0.95), abs=1e-4)


def test_the_ends_of_an_interval_lie_around_the_figure() -> None:
    generator = np.random.default_rng(1)
    positive = generator.random(80) < 0.4
    found = overall(asked(positive * 0.3 + generator.random(80) * 0.7, positive), 0.5, None)
    for name in ("auc", "average_precision", "sensitivity", "specificity", "accuracy"):
        value, low, high = found[name]
        assert low <= value <= high, name
        assert low < high, name


def test_the_interval_of_an_area_is_wider_when_patients_repeat() -> None:
    generator = np.random.default_rng(2)
    positive = np.repeat(np.arange(40) % 2 == 0, 8)
    score = np.repeat(generator.random(40), 8) + positive * 0.3
    alone, by_patient = (
        area(asked(score, positive, groups))
        for groups in ([str(n) for n in range(320)], [str(n // 8) for n in range(320)])
    )
    assert alone[0] == by_patient[0]
    assert by_patient[2] - by_patient[1] > 1.8 * (alone[2] - alone[1])


def test_the_advantage_is_measured_on_the_same_patients() -> None:
    """Two scores that agree have no advantage over each other, and no doubt about it."""
    generator = np.random.default_rng(3)
    one = asked(generator.random(60), np.arange(60) % 2)
    assert advantage(one, one.score * 2.0) == [0.0, 0.0, 0.0]
    perfect = asked(one.positive * 1.0, one.positive)
    value, low, high = advantage(perfect, generator.random(60))
    assert 0.0 < low <= value <= high


def test_one_kind_only_has_no_figures() -> None:
    with pytest.raises(EvaluationError, match="3 abnormal and 0 normal"):
        overall(asked([0.1, 0.2, 0.3], [1, 1, 1]), 0.5, None)


@given(st.floats(0, 1), st.floats(0.3, 0.7), st.floats(0, 0.3), st.floats(0, 0.3))
def test_an_answer_is_the_one_that_the_node_gives(
    abnormal: float, threshold: float, down: float, up: float
) -> None:
    band = (threshold - down, threshold + up)
    shares = answers(np.array([abnormal]), threshold, band)
    entry = section(threshold, band)
    chances = tuple(
        Probability(finding=each.code.code, label=each.label, value=value)
        for each, value in zip(entry.classes, (1.0 - abnormal, abnormal), strict=True)
    )
    # The node starts from the probability of "normal"; one bit may be lost on the way.
    if min(abs(abnormal - edge) for edge in (*band, threshold)) > 1e-6:
        decision, _ = decide(entry, chances)
        names = {
            Normality.ABNORMAL: "abnormal",
            Normality.NORMAL: "normal",
            Normality.INDETERMINATE: "indeterminate",
        }
        assert shares[names[decision.normality]] == 1.0


def test_confusion_counts_true_classes_by_row() -> None:
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert confusion(np.array([0, 0, 1]), chances) == [[1, 1], [1, 0]]


def test_errors_of_a_score() -> None:
    values = np.array([0.0, 2.0, 4.0, 6.0])
    found = error_figures(values, values + 1.0, np.full(4, 3.0), list("abcd"))
    assert found["mae"] == [1.0, 1.0, 1.0]
    assert found["mae_constant"][0] == 2.0
    assert found["correlation"] == 1.0
    assert error_figures(values, np.full(4, 3.0), values, list("abcd"))["correlation"] is None


# -- baselines --


def greys(positive: NDArray[np.bool_], tell: bool) -> NDArray[np.uint8]:
    """Noise, with a marker in one corner that goes along with the answer, or in all of them."""
    generator = np.random.default_rng(4)
    made = generator.integers(0, 120, (len(positive), 32, 32), dtype=np.uint8)
    made[positive | (not tell), :6, :6] = 250
    return made


@pytest.mark.parametrize(("tell", "low", "high"), [(True, 0.99, 1.0), (False, 0.3, 0.7)])
def test_the_thumbnail_finds_a_planted_confounder(tell: bool, low: float, high: float) -> None:
    positive = np.arange(160) % 2 == 0
    train, test = np.arange(80), np.arange(80, 160)
    score = baselines.thumbnail(greys(positive, tell), train, positive)
    assert low <= area(asked(score[test], positive[test]))[0] <= high


def test_the_thumbnail_learns_from_training_images_alone() -> None:
    positive = np.arange(80) % 2 == 0
    train = np.arange(40)
    wrong = positive.copy()
    wrong[40:] = ~wrong[40:]
    made = greys(positive, tell=True)
    first, second = (baselines.thumbnail(made, train, each) for each in (positive, wrong))
    assert (first == second).all()


def test_the_view_is_scored_by_how_often_it_is_positive() -> None:
    views = ["AP", "AP", "AP", "PA", "PA", "AP", "PA", "LL"]
    examples = [example(n, facts={"view": view}) for n, view in enumerate(views)]
    positive = np.array([1, 1, 0, 0, 0, 0, 1, 1], bool)
    score = baselines.fact("view", examples, np.arange(5), positive)
    assert score[5:].tolist() == pytest.approx([2 / 3, 0.0, 0.5])


def test_within_a_stratum_the_stratum_is_worth_nothing() -> None:
    strata = np.array(["F", "M"]).repeat(40)
    positive = np.tile([True, True, True, False], 20) == (strata == "M")
    told = asked((strata == "M").astype(float), positive)
    assert area(told)[0] > 0.7
    assert within(told, strata)[0] == 0.5
    assert within(asked(positive + 0.1 * (strata == "M"), positive), strata)[0] == 1.0


def test_folds_are_scored_by_what_the_others_taught() -> None:
    folds = np.array([0, 0, 1, 1, 2])
    seen: list[list[int]] = []

    def score(learn: NDArray[np.intp]) -> Floats:
        seen.append(learn.tolist())
        return np.full(5, float(len(seen)))

    assert baselines.across_folds(folds, score).tolist() == [1, 1, 2, 2, 3]
    assert seen == [[2, 3, 4], [0, 1, 4], [0, 1, 2, 3]]


def test_position_and_age_find_what_depends_on_them() -> None:
    folds = np.arange(200) % 4
    place = np.random.default_rng(5).random(200)
    middle = (place > 0.3) & (place < 0.7)
    assert area(asked(baselines.position(place, folds, middle), middle))[0] > 0.97
    years = place * 80.0
    old = years > 50.0
    years[::10] = np.nan  # an unknown age counts as the mean
    assert area(asked(baselines.age(years, folds, old), old))[0] > 0.9


def test_a_baseline_with_one_answer_to_learn_from_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="0 of 5 positive to learn from"):
        baselines.thumbnail(greys(np.zeros(9, bool), tell=True), np.arange(5), np.zeros(9, bool))


# -- a whole evaluation --


def material(count: int = 160, **changes: Any) -> Material:
    """Images told apart by a perfect model; half in training; a marker betrays the answer."""
    labels = np.arange(count) % 2
    examples = [
        example(
            n,
            label=int(labels[n]),
            part="train" if n < count // 2 else "test",
            facts={"source": "ab"[n // 2 % 2], "sex": "FM"[n // 2 % 2], "age": str(10 + n % 60),
                   "view": "AP"},
            columns={"kind": "xy"[n % 2], "one": "1"},
        )
        for n in range(count)
    ]  # fmt: skip
    abnormal = np.where(labels == 1, 0.9, 0.1)
    given = Answers(
        classes=np.stack([1.0 - abnormal, abnormal], 1),
        scores=np.empty((count, 0)),
        studies=np.empty(0),
    )
    stated: dict[str, Any] = {
        "recipe": recipe_of(image_recipe()),
        "section": section(),
        "examples": examples,
        "greys": greys(labels == 1, tell=True),
        "given": given,
    }
    return Material(**{**stated, **changes})


def asking(*questions: dict[str, Any]) -> Material:
    return material(recipe=recipe_of(image_recipe() | {"question": list(questions)}))


def test_an_evaluation_of_images_measures_the_test_split_alone() -> None:
    found = measure_images(material(), [])
    assert found["n"] == [40, 40]
    assert found["auc"][0] == 1.0
    assert found["classes"]["confusion"] == [[40, 0], [0, 40]]
    assert found["classes"]["accuracy"][0] == 1.0


def test_the_confounder_stands_beside_the_model() -> None:
    """The model is perfect, and has shown nothing: the thumbnail is, too."""
    found = measure_images(material(), [])["baselines"]
    assert found["thumbnail"]["auc"][0] > 0.99
    assert found["thumbnail"]["advantage"][0] < 0.01
    assert found["view"]["auc"][0] == 0.5
    assert found["view"]["advantage"][0] == 0.5


def test_groups_are_shown_where_there_are_enough() -> None:
    rows = measure_images(material(), [])["groups"]
    shown = {(each["by"], each["value"]): each for each in rows}
    assert {by for by, _ in shown} == {"source", "view", "sex", "age"}
    assert shown["source", "a"]["n"] == [20, 20]
    assert shown["source", "a"]["called"] == {"yes": 1.0, "no": 0.0}
    assert shown["view", "AP"]["auc"][0] == 1.0
    assert {value for by, value in shown if by == "age"} == {"0-17", "18-39", "40-59", "60-129"}


def test_a_question_asks_some_images_that_were_not_trained_on() -> None:
    question = {
        "title": "Kind y?",
        "data": "own",
        "where": {"one": ["1"]},
        "yes": {"kind": ["y"]},
        "reference": "0.5",
    }
    (found,) = measure_images(asking(question), [])["questions"]
    assert found["n"] == [40, 40]
    assert found["auc"][0] == 1.0
    assert found["thumbnail"][0] > 0.99


def test_a_question_about_a_class_is_scored_by_its_probability() -> None:
    question = {"title": "Normal?", "data": "own", "yes": {"kind": ["x"]}, "score": "normal"}
    (found,) = measure_images(asking(question), [])["questions"]
    assert found["auc"][0] == 1.0


def test_a_question_without_yes_asks_how_often_images_are_called_abnormal() -> None:
    question = {"title": "All", "data": "own"}
    (found,) = measure_images(asking(question), [])["questions"]
    assert found["called_abnormal"][0] == 0.5
    assert found["answers"] == {"abnormal": 0.5, "indeterminate": 0.0, "normal": 0.5}


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ({"where": {"kind": ["z"]}}, "question 'Any?': no image fits"),
        ({"yes": {"one": ["1"]}}, "question 'Any?': 80 of 80 images are a yes"),
    ],
)
def test_a_question_that_cannot_be_answered_is_named(stated: dict[str, Any], problem: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        measure_images(asking({"title": "Any?", "data": "own", **stated}), [])
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("part", "problem"),
    [("train", "no image is in the split 'test'"), ("test", "the baselines need normal and")],
)
def test_an_evaluation_needs_a_test_and_something_for_the_baselines(
    part: str, problem: str
) -> None:
    whole = material()
    one_sided = [example(n, label=each.label, part=part) for n, each in enumerate(whole.examples)]
    with pytest.raises(EvaluationError, match=problem):
        measure_images(material(examples=one_sided), [])


SCORE = {
    "files": "s.csv", "column": "s", "lowest": 0, "highest": 8,
    "code": {"value": "1", "scheme": "99TEST", "meaning": "Extent"},
}  # fmt: skip
FOLDED = {"values": [0, 2, 4], "folded": [1, 2, 4], "constant": [2, 2, 2], "groups": list("abc")}


def test_scores_come_from_the_record_of_training_and_only_where_it_fits() -> None:
    scored = material(recipe=recipe_of(image_recipe() | {"score": [SCORE]}))
    (found,) = measure_images(scored, [FOLDED])["scores"]
    assert (found["name"], found["n"], found["highest"]) == ("Extent", 3, 8)
    assert found["mae"][0] == pytest.approx(1 / 3, abs=1e-4)
    assert measure_images(scored, [])["scores"] == []
    assert measure_images(material(), [FOLDED])["scores"] == []


def ct(folds: int = 4, age: str = "50", patients: int = 40) -> tuple[Material, list[Any]]:
    examples: list[Example] = []
    for patient in range(patients):
        ill = patient % 2
        examples += [
            example(
                path=Path(f"{n}.png"), group=f"p{patient}", series=f"p{patient}", order=n,
                label=int(ill and n > 1), fold=patient // 2 % folds if folds else -1,
                facts={"age": age, "sex": "FM"[patient // 2 % 2]},
            )
            for n in range(6)
        ]  # fmt: skip
    labels = np.array([each.label for each in examples])
    abnormal = np.where(labels == 1, 0.8, 0.1)
    series = series_of(examples)
    given = Answers(
        classes=np.stack([1.0 - abnormal, abnormal], 1),
        scores=np.empty((len(examples), 0)),
        studies=np.array([abnormal[at].max() for at in series]),
        held_out=True,
    )
    return material(examples=examples, greys=greys(labels == 1, tell=True), given=given), series


def test_an_evaluation_of_series_measures_studies_and_slices() -> None:
    found = measured_series()
    assert found["n"] == [20, 20]
    assert found["auc"][0] == found["slices"]["auc"][0] == 1.0
    assert found["slices"]["n"] == [80, 160]
    assert found["held_out"]
    assert found["baselines"]["thumbnail of the middle slice"]["auc"][0] > 0.9
    assert found["baselines"]["age"]["auc"][0] == 0.5
    assert {each["by"] for each in found["groups"]} == {"sex", "age"}


def test_series_without_folds_or_ages_are_measured_too() -> None:
    """A site's own studies, on which a package of others is judged."""
    found = measure_series(*ct(folds=0, age=""))
    assert list(found["baselines"]) == ["sex", "thumbnail of the middle slice"]
    assert found["baselines"]["thumbnail of the middle slice"]["auc"][0] > 0.9


# -- what is made of them --


@cache
def measured() -> dict[str, Any]:
    question = {"title": "Kind | <b>y</b>?", "data": "own", "yes": {"kind": ["y"]}}
    rate = {"title": "All", "data": "own"}
    recipe = recipe_of(image_recipe() | {"question": [question, rate], "score": [SCORE]})
    return measure_images(material(recipe=recipe), [FOLDED])


@cache
def measured_series() -> dict[str, Any]:
    return measure_series(*ct())


def figures(**changes: Any) -> dict[str, Any]:
    """Everything that ``training.judge`` hands on, for images."""
    return {
        "package": {"name": "tiny", "version": "1", "sha256": "0" * 64},
        "images": {"train": 80, "test": 80},
        "history": {"head": {"train": [0.7], "val": [0.6], "best": 0},
                    "all": {"train": [0.5, 0.4], "val": [], "best": 1}},
        "chosen": "chosen on validation for sensitivity 0.95",
        "band": (0.4, 0.6),
        **measured(),
        **changes,
    }  # fmt: skip


def test_figures_are_json_that_every_reader_takes() -> None:
    none_called = measure_images(material(section=section(0.95)), [])
    for each in (figures(), measured_series(), none_called):
        json.dumps(each, allow_nan=False)
    assert none_called["predictive_values"][0]["ppv"] is None
    assert none_called["predictive_values"][0]["npv"] == pytest.approx(0.95)


def parsed(text: str) -> list[list[str]]:
    """The cells of a Markdown table, as a reader of it splits them."""
    lines = text.splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_table_is_a_markdown_table() -> None:
    for found in (figures(), figures() | measured_series()):
        for table in tables(found):
            rows = parsed(markdown(table))
            assert {len(row) for row in rows} == {len(table.head)}, table.title
            assert rows[1] == ["---"] * len(table.head)
            assert len(rows) == len(table.rows) + 2


def test_a_cell_ends_neither_its_column_nor_its_row() -> None:
    table = Table("t", ("a", "b"), [("x | y", "two\nlines")])
    assert parsed(markdown(table))[2] == [r"x \| y", "two lines"]


def test_tables_have_titles_of_their_own_and_text_in_every_cell() -> None:
    found = tables(figures())
    titles = [each.title for each in found]
    assert len(set(titles)) == len(titles) > 7
    assert all(isinstance(cell, str) for each in found for row in each.rows for cell in row)


def test_figures_are_written_with_their_interval() -> None:
    assert interval([0.8744, 0.82, 0.92]) == "0.874 [0.820-0.920]"
    assert interval(None) == ""
    assert signed([0.1, -0.02, 0.2]) == "+0.100 [-0.020 to +0.200]"
    assert (counts([3, 4]), counts(7)) == ("3 / 4", "7")
    assert (share(0.25), share(None), share(0.5, 1)) == ("0.250", "", "0.5")


def test_the_card_says_what_the_recipe_says_and_what_was_measured() -> None:
    words = {
        "purpose": "For {nobody}.", "method": "By magic.", "data": "Made up.",
        "confounders": "A marker.", "not_concluded": "Anything.",
    }  # fmt: skip
    text = card(recipe_of(image_recipe(card=words)), figures())
    for said in words.values():
        assert said in text
    assert "Research and demonstration only" in text
    assert "80 in train, 80 in test" in text
    assert "chosen on validation for sensitivity 0.95" in text
    assert 'Between 0.4000 and 0.6000 the answer is "indeterminate"' in text
    assert "view alone" in text
    assert "cross-validation: each study" not in text


def test_the_card_of_held_out_figures_says_so() -> None:
    found = figures(band=None, images={}) | measured_series()
    text = card(recipe_of(image_recipe()), found)
    assert "a network that had not seen its\npatient" in text
    assert "indeterminate" not in text.split("## At the operating point")[1]
    assert "Images:" not in text


class Page(HTMLParser):
    """Collects tags, text and sources."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_every_table_and_escapes_what_it_shows(tmp_path: Path) -> None:
    found = figures()
    recipe = recipe_of(image_recipe(package={"title": "<script>alert(1)</script>"}))
    write_page(recipe, found, {"A & B": "a.png"}, tmp_path / "page.html")
    page = Page()
    page.feed((tmp_path / "page.html").read_text("utf-8"))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert "Kind | <b>y</b>?" in page.text
    assert page.tags.count("table") == len(tables(found))
    assert page.sources == ["a.png"]  # nothing from elsewhere


def test_plots_are_drawn_for_curves_and_history(tmp_path: Path) -> None:
    drawn = draw_plots(figures(), tmp_path)
    assert set(drawn) == {
        "ROC curve", "Precision and recall", "Calibration", "Training: head", "Training: all",
    }  # fmt: skip
    assert {each.name for each in tmp_path.iterdir()} == set(drawn.values())
    for each in tmp_path.iterdir():
        assert each.read_bytes().startswith(b"\x89PNG")
        assert each.stat().st_size > 4000
