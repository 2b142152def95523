from __future__ import annotations

import numpy as np
import pytest

from training.calibrate import OperatingPoint
from training.chest_card import card
from training.chest_figures import Scored, measure, questions
from training.data import Radiograph
from training.evaluate import Figure

POINT = OperatingPoint(threshold=0.5, band=(0.4, 0.6))
FACTS = {
    "seed": 1,
    "epochs": 2,
    "temperature": 1.5,
    "date": "2026-01-01",
    "wrong_normal": "0.10",
    "wrong_pneumonia": "0.22",
    "train_n": 10,
    "val_n": 5,
    "test_n": 7,
}


def collection() -> list[Radiograph]:
    """Some images of every kind that a figure stands on; each patient has two."""
    kinds = [
        ("train", 0, "nih", "PA", "", "No_findings"),
        ("train", 1, "nih", "AP", "Lung Opacity", "Pneumonia"),
        ("train", 2, "ieee8023", "PA", "", ""),
        ("conflict_train", 1, "nih", "PA", "Normal", "Pneumonia"),
        ("test", 0, "nih", "PA", "", "No_findings"),
        ("test", 0, "nih", "AP", "", "No_findings"),
        ("test", 1, "nih", "PA", "Lung Opacity", "Pneumonia"),
        ("test", 1, "ieee8023", "AP", "", ""),
        ("test", 2, "ieee8023", "PA", "", ""),
        ("conflict_test", 1, "nih", "PA", "Normal", "Pneumonia"),
        ("external", 0, "openist", "PA?", "", ""),
        ("external_paediatric", 0, "kermany_paediatric", "AP", "", ""),
        ("external_paediatric", 1, "kermany_paediatric", "AP", "", ""),
    ]
    return [
        Radiograph(
            file=f"{kind}-{index}.jpg",
            split=split,
            label=label,
            source=source,
            view=view,
            reader=reader,
            folder=folder,
            group=f"{kind}-{index // 2}",
        )
        for kind, (split, label, source, view, reader, folder) in enumerate(kinds)
        for index in range(8)
    ]


def scored(abnormal: dict[int, float]) -> Scored:
    """Score each image by its label."""
    rows = collection()
    probability = np.zeros((len(rows), 3))
    for index, row in enumerate(rows):
        value = abnormal[row.label] if row.reader != "Normal" else abnormal[0]
        probability[index, 0] = 1.0 - value
        probability[index, max(row.label, 1)] = value
    greys = np.random.default_rng(1).random((len(rows), 32, 32)).astype(np.float16)
    return Scored(rows=rows, probability=probability, greys=greys)


@pytest.fixture(scope="module")
def perfect() -> dict[str, Figure | str]:
    return measure(scored({0: 0.1, 1: 0.8, 2: 0.9}), POINT, 100)


def test_no_question_is_asked_of_training_images() -> None:
    rows = collection()
    trained = {row.group for row in rows if row.split == "train"}
    for question in questions(rows):
        asked = [row for row in rows if question.among(row)]
        assert asked
        assert not trained & {row.group for row in asked}


def test_the_adjudicated_question_leaves_out_patients_seen_in_training() -> None:
    rows = collection()
    seen = next(row.group for row in rows if row.split == "train" and row.reader)
    other = Radiograph(**{**vars(rows[-1]), "group": seen, "folder": "Pneumonia"})
    question = next(each for each in questions(rows) if each.name == "adjudicated")
    held_out = Radiograph(**{**vars(other), "reader": "Normal", "group": "new"})
    assert question.among(held_out)
    assert not question.among(Radiograph(**{**vars(held_out), "group": seen}))


def test_perfect_scores_give_perfect_figures(perfect: dict[str, Figure | str]) -> None:
    for name in ("abnormal", "nih_pneumonia", "covid", "adjudicated", "children"):
        figure = perfect[name]
        assert isinstance(figure, Figure)
        assert figure.value == 1.0
    called, openist = perfect["called_abnormal"], perfect["called_openist"]
    assert isinstance(called, Figure)
    assert isinstance(openist, Figure)
    assert (called.value, openist.value) == (1.0, 0.0)


def test_a_thumbnail_of_noise_is_no_better_than_chance(perfect: dict[str, Figure | str]) -> None:
    figure = perfect["abnormal_thumbnail"]
    assert isinstance(figure, Figure)
    assert figure.low < 0.5 < figure.high


def test_an_answer_inside_the_band_is_open() -> None:
    figures = measure(scored({0: 0.45, 1: 0.55, 2: 0.9}), POINT, 20)
    assert figures["open_normal"] == figures["open_pneumonia"] == "1.000"
    assert figures["cleared_normal"] == "0.000"
    assert figures["open_covid"] == "0.000"


def test_the_card_holds_every_figure_it_names(perfect: dict[str, Figure | str]) -> None:
    text = card(perfect, POINT, FACTS)
    assert "{" not in text
    assert "| 1.000 [1.000-1.000] |" in text
    assert "Threshold 0.5000" in text
