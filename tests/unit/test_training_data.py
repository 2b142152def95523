from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.pixels import Preparation, prepare
from training.data import (
    CLASSES,
    TEST,
    TRAIN,
    VAL,
    CollectionError,
    Radiograph,
    contradicted,
    groups_on_two_sides,
    prepared,
    read_collection,
    select,
    side,
)

COLUMNS = [
    "file",
    "class",
    "split",
    "group_id",
    "source",
    "view",
    "rsna_reader_class",
    "nih_folder",
]
SMALL = Preparation(rows=32, columns=32)


def row(split: str = TRAIN, group: str = "a", label: int = 0, reader: str = "") -> Radiograph:
    return Radiograph(
        file=f"{group}.png",
        label=label,
        split=split,
        group=group,
        source="nih",
        view="PA",
        reader=reader,
        folder="Pneumonia" if label else "No_findings",
    )


def write_manifest(folder: Path, rows: list[list[str]], columns: list[str] = COLUMNS) -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])


def test_rows_are_read_in_order(tmp_path: Path) -> None:
    write_manifest(
        tmp_path,
        [
            ["a.jpg", "covid", "test", "p1", "ieee8023", "AP Supine", "", ""],
            ["b.jpg", "pneumonia", "train", "p2", "nih", "PA", "Lung Opacity", "Pneumonia"],
        ],
    )
    first, second = read_collection(tmp_path)
    assert (first.file, CLASSES[first.label], first.group) == ("a.jpg", "covid", "p1")
    assert (second.reader, second.split) == ("Lung Opacity", "train")


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"manifest\.csv does not exist"):
        read_collection(tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_manifest(tmp_path, [["a.jpg", "covid", "test"]], COLUMNS[:3])
    with pytest.raises(CollectionError, match="group_id"):
        read_collection(tmp_path)


def test_an_unknown_class_is_an_error(tmp_path: Path) -> None:
    write_manifest(tmp_path, [["a.jpg", "fracture", "test", "p", "nih", "PA", "", ""]])
    with pytest.raises(CollectionError, match=r"a\.jpg"):
        read_collection(tmp_path)


def test_a_patient_on_two_sides_is_found() -> None:
    rows = [row(TRAIN, "a"), row("conflict_train", "a"), row(TEST, "b"), row(VAL, "c")]
    assert groups_on_two_sides(rows) == set()
    assert groups_on_two_sides([*rows, row("conflict_test", "c")]) == {"c"}


def test_a_conflict_row_is_on_its_side_but_not_in_its_split() -> None:
    rows = [row(TRAIN), row("conflict_train")]
    assert side("conflict_train") == TRAIN
    assert select(rows, lambda entry: entry.split == TRAIN) == [0]


def test_the_contradicted_share_counts_only_read_images_of_the_training_side() -> None:
    rows = [
        row(label=1, reader="Lung Opacity"),
        row("conflict_train", label=1, reader="Normal"),
        row("conflict_test", label=1, reader="Normal"),
        row(label=1),
    ]
    assert contradicted(rows, 1) == 0.5
    assert contradicted(rows, 0) == 0.0


def test_prepared_pictures_are_what_the_node_prepares(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (60, 40)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    greys = prepared(tmp_path, [row()], SMALL)
    wanted = prepare(picture, SMALL)[0] * 0.5 + 0.5
    assert greys.shape == (1, 32, 32)
    assert np.abs(greys[0].astype(np.float32) - wanted).max() < 5e-4


def test_the_cache_is_used_only_for_the_same_preparation(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    cache = tmp_path / "cache"
    first = prepared(tmp_path, [row()], SMALL, cache)
    (tmp_path / "a.png").unlink()
    assert (prepared(tmp_path, [row()], SMALL, cache) == first).all()
    with pytest.raises(FileNotFoundError):
        prepared(tmp_path, [row()], Preparation(rows=16, columns=16), cache)


@pytest.fixture(scope="module")
def collection() -> list[Radiograph]:
    root = os.environ.get("WETREAD_DATA")
    if not root:
        pytest.skip("WETREAD_DATA is not set; it names the folder of the real images")
    return read_collection(Path(root) / "cxr")


def test_no_patient_of_the_real_collection_lies_in_two_splits(
    collection: list[Radiograph],
) -> None:
    assert groups_on_two_sides(collection) == set()


def test_what_is_trained_on_is_adult_and_uncontradicted(collection: list[Radiograph]) -> None:
    trained = [entry for entry in collection if entry.split in (TRAIN, VAL)]
    assert Counter(entry.source for entry in trained).keys() == {"nih", "ieee8023"}
    readers = {entry.reader for entry in trained if entry.label == 1}
    assert readers == {"", "Lung Opacity"}
