from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinytraining import (
    ABNORMAL,
    example,
    image_recipe,
    recipe_of,
    series_recipe,
    write_csv,
)
from training.collection import (
    SCORED,
    Example,
    dealt,
    dealt_fold,
    groups_on_two_sides,
    matches,
    read_collection,
    read_rows,
    sampling_weights,
    select,
)
from training.errors import CollectionError
from training.recipe import TEST, TRAIN, VAL
from training.record import MOST, series_of, slice_name

# -- a CSV file --


def row(number: int, **values: Any) -> dict[str, Any]:
    return {
        "file": f"images/{number}.png",
        "class": "healthy",
        "group_id": f"g{number}",
        "split": "train",
        "source": "here",
        **values,
    }


def listed(**section: Any) -> dict[str, Any]:
    """A recipe for ``sub/list.csv``; ``section`` goes over its ``[[data]]``."""
    data = {
        "name": "own",
        "files": "sub/list.csv",
        "values": {"healthy": "normal", "sick": ABNORMAL},
        **section,
    }
    return image_recipe(data=[data])


def read(folder: Path, tables: dict[str, Any], *rows: dict[str, Any]) -> list[Example]:
    write_csv(folder / "sub/list.csv", rows)
    return read_collection(recipe_of(tables), folder)


def test_a_row_becomes_an_example(tmp_path: Path) -> None:
    stated = row(1, fold="3", view="AP", sex="F", age="61", **{"class": "sick"})
    (found,) = read(tmp_path, listed(weight=2.0), stated)
    assert found == Example(
        path=tmp_path / "sub/images/1.png",
        data="own",
        target=(0.0, 1.0),
        label=1,
        group="g1",
        part=TRAIN,
        fold=3,
        weight=2.0,
        columns=stated,
        facts={"source": "here", "view": "AP", "sex": "F", "age": "61"},
    )


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    columns = {"image": "f", "label": "l", "group": "p", "source": "s", "view": "v"}
    stated = {"f": "a.png", "l": "sick", "p": "p1", "s": "there", "v": "PA", "source": "not this"}
    (found,) = read(tmp_path, listed(columns=columns), stated)
    assert (found.path.name, found.label, found.group) == ("a.png", 1, "p1")
    assert (found.fact("source"), found.fact("view"), found.fact("age")) == ("there", "PA", "")


def test_only_rows_with_the_wanted_values_are_taken(tmp_path: Path) -> None:
    tables = listed(where={"source": ["here", "near"], "split": ["train"]})
    rows = [row(1), row(2, source="far"), row(3, source="near"), row(4, split="val")]
    assert [each.group for each in read(tmp_path, tables, *rows)] == ["g1", "g3"]


def test_an_image_without_a_patient_is_its_own(tmp_path: Path) -> None:
    (found,) = read(tmp_path, listed(), row(7, group_id=""))
    assert found.group == "7"


def test_a_split_can_have_other_names_and_any_other_value_is_kept(tmp_path: Path) -> None:
    tables = listed() | {"split": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}}
    rows = [row(n, split=value) for n, value in enumerate(["a", "b", "c", "d", "external"])]
    parts = [each.part for each in read(tmp_path, tables, *rows)]
    assert parts == [TRAIN, TRAIN, VAL, TEST, "external"]


def test_a_mixture_is_shared_out_and_has_no_class(tmp_path: Path) -> None:
    tables = listed(values={"healthy": {"normal": 1, ABNORMAL: 3}})
    (found,) = read(tmp_path, tables, row(1))
    assert found.target == (0.25, 0.75)
    assert found.label == -1


def test_unsure_labels_are_softened_and_drawn_less_but_keep_their_class(tmp_path: Path) -> None:
    unsure = [
        {"where": {"source": ["report"]}, "label": "normal", "wrong": 0.1, "weight": 0.5},
        {"where": {"source": ["report"]}, "label": ABNORMAL, "wrong": 0.2},
    ]
    rows = [
        row(1, source="report"),
        row(2, source="report", **{"class": "sick"}),
        row(3, source="expert"),
    ]
    well, ill, sure = read(tmp_path, listed(unsure=unsure, weight=3.0), *rows)
    assert well.target == pytest.approx((0.9, 0.1))
    assert ill.target == pytest.approx((0.2, 0.8))
    assert sure.target == (1.0, 0.0)
    assert [each.label for each in (well, ill, sure)] == [0, 1, 0]
    assert [each.weight for each in (well, ill, sure)] == [1.5, 3.0, 3.0]


def test_what_an_image_teaches_is_chosen_by_column(tmp_path: Path) -> None:
    tables = listed(screens={"source": ["both"]}, kinds={"source": ["kinds"]})
    first, second = read(tmp_path, tables, row(1, source="both"), row(2, source="kinds"))
    assert (first.screens, first.kinds) == (True, False)
    assert (second.screens, second.kinds) == (False, True)


@pytest.mark.parametrize("section", ["where", "screens", "kinds"])
def test_a_column_misspelt_in_a_condition_is_an_error(tmp_path: Path, section: str) -> None:
    with pytest.raises(CollectionError, match=r"list\.csv has no column 'sorce'"):
        read(tmp_path, listed(**{section: {"sorce": ["here"]}}), row(1))


def test_a_column_misspelt_in_an_unsure_label_is_an_error(tmp_path: Path) -> None:
    unsure = [{"where": {"sorce": ["here"]}, "label": "normal", "wrong": 0.1}]
    with pytest.raises(CollectionError, match="no column 'sorce'"):
        read(tmp_path, listed(unsure=unsure), row(1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"list\.csv does not exist; --data must name"):
        read_collection(recipe_of(listed()), tmp_path)


@pytest.mark.parametrize("name", ["file", "class"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    stated = {key: value for key, value in row(1).items() if key != name}
    with pytest.raises(CollectionError, match=rf"list\.csv has no column '{name}'"):
        read(tmp_path, listed(), stated)


def test_an_unknown_value_is_named_with_its_image(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"2\.png: class 'wolf' is not among"):
        read(tmp_path, listed(), row(1), row(2, **{"class": "wolf"}))


def test_a_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("file,class\nä.png,x\n".encode("latin-1"))
    with pytest.raises(CollectionError, match=r"latin\.csv is not UTF-8"):
        read_rows(tmp_path / "latin.csv")


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("file,class\n", "utf-8")
    with pytest.raises(CollectionError, match=r"empty\.csv has no rows"):
        read_rows(tmp_path / "empty.csv")


def test_a_collection_of_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="data own: no image fits"):
        read(tmp_path, listed(where={"source": ["far"]}), row(1))


def test_a_byte_order_mark_and_short_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("file,class,fold\na.png,x\n", "utf-8-sig")
    assert read_rows(path, "file") == [{"file": "a.png", "class": "x", "fold": ""}]


# -- a folder per class --


def folders(root: Path, *files: str) -> list[Example]:
    for each in files:
        path = root / "pictures" / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return read_collection(recipe_of(image_recipe()), root)


def test_a_folder_per_class_is_read_without_other_files(tmp_path: Path) -> None:
    found = folders(tmp_path, "normal/a.png", "normal/b.JPG", "normal/notes.txt", "ill/c.dcm")
    assert [(each.path.name, each.label) for each in found] == [
        ("a.png", 0), ("b.JPG", 0), ("c.dcm", 1),
    ]  # fmt: skip


def test_a_folder_within_the_class_is_a_patient(tmp_path: Path) -> None:
    found = folders(tmp_path, "normal/p1/a.png", "normal/p1/b/c.png", "ill/p2/a.png", "ill/d.png")
    assert [each.group for each in found] == ["p1", "p1", "d", "p2"]
    assert found[0].part == found[1].part


def test_a_missing_folder_of_a_class_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"ill does not exist; one folder per class"):
        folders(tmp_path, "normal/a.png")


def test_an_empty_collection_of_folders_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="data own: no image fits"):
        folders(tmp_path, "normal/a.txt", "ill/b.txt")


# -- sides --


def test_a_patient_on_two_sides_is_refused(tmp_path: Path) -> None:
    rows = [row(1, group_id="g", split="train"), row(2, group_id="g", split="test")]
    with pytest.raises(CollectionError, match="1 patients lie in more than one split"):
        read(tmp_path, listed(), *rows)


def test_a_patient_on_two_sides_of_two_collections_is_refused(tmp_path: Path) -> None:
    tables = listed()
    tables["data"].append({**tables["data"][0], "name": "more", "files": "sub/more.csv"})
    write_csv(tmp_path / "sub/more.csv", [row(1, split="test")])
    with pytest.raises(CollectionError, match="1 patients"):
        read(tmp_path, tables, row(1, split="train"))


def test_a_conflict_lies_on_the_side_that_it_names() -> None:
    same = [example(1, group="g", part="test"), example(2, group="g", part="conflict_test")]
    assert groups_on_two_sides(same) == set()
    other = [example(1, group="g", part="test"), example(2, group="g", part="conflict_train")]
    assert groups_on_two_sides(other) == {"g"}


FRACTIONS = st.tuples(*[st.floats(0.05, 1.0)] * 3)


@given(st.text(max_size=20), FRACTIONS)
def test_a_patient_is_dealt_to_the_same_part_every_time(
    group: str, fractions: tuple[float, float, float]
) -> None:
    assert dealt(group, fractions) == dealt(group, fractions)
    doubled = (2 * fractions[0], 2 * fractions[1], 2 * fractions[2])
    assert dealt(group, doubled) == dealt(group, fractions)


@given(FRACTIONS, st.integers(0, 100))
def test_patients_are_dealt_roughly_as_asked(
    fractions: tuple[float, float, float], start: int
) -> None:
    parts = [dealt(f"patient {start + n}", fractions) for n in range(1000)]
    for part, share in zip((TRAIN, VAL, TEST), fractions, strict=True):
        assert parts.count(part) / 1000 == pytest.approx(share / sum(fractions), abs=0.08)


def test_dealing_is_by_a_hash_that_will_never_change() -> None:
    place = int(hashlib.sha256(b"a").hexdigest()[:8], 16) / 0xFFFFFFFF
    assert dealt("a", (place + 0.001, 0.0, 0.999 - place)) == TRAIN
    assert dealt("a", (place - 0.001, 1.001 - place, 0.0)) == VAL


def test_images_without_a_split_are_dealt_by_patient(tmp_path: Path) -> None:
    rows = [row(n, split="", group_id=f"g{n // 3}") for n in range(60)]
    found = read(tmp_path, listed(), *rows)
    assert {each.part for each in found} == {TRAIN, VAL, TEST}
    assert groups_on_two_sides(found) == set()


def test_patients_with_scores_are_set_aside_from_training_and_validation(tmp_path: Path) -> None:
    score = {
        "files": "scores.csv", "column": "extent", "lowest": 0, "highest": 8,
        "code": {"value": "1", "scheme": "99TEST", "meaning": "Extent"},
    }  # fmt: skip
    write_csv(
        tmp_path / "scores.csv",
        [{"file": f"{n}.png", "group_id": f"g{n}", "extent": 1, "fold": 0} for n in (1, 2, 3)],
    )
    rows = [row(1), row(2, split="val"), row(3, split="test"), row(4)]
    found = read(tmp_path, listed() | {"score": [score]}, *rows)
    assert [each.part for each in found] == [SCORED, SCORED, TEST, TRAIN]


# -- series --


def ct(folder: Path, *rows: dict[str, Any], **tables: Any) -> list[Example]:
    write_csv(folder / "ct.csv", rows)
    return read_collection(recipe_of(series_recipe(**tables)), folder)


def ct_row(patient: str, number: object, **values: Any) -> dict[str, Any]:
    return {"file": f"{number}.png", "ill": 0, "patient": patient, "slice": number, **values}


def test_a_series_is_put_in_order(tmp_path: Path) -> None:
    rows = [ct_row(patient, number) for number in (3, 1, 10, 2, 0) for patient in "ab"]
    found = ct(tmp_path, *rows)
    first, second = series_of(found)
    assert [found[at].order for at in first] == [0, 1, 2, 3, 10]
    assert {found[at].group for at in second} == {"b"}


def test_slices_of_one_name_in_two_series_are_told_apart(tmp_path: Path) -> None:
    first, second = ct(tmp_path, ct_row("a", 1), ct_row("b", 1))
    assert slice_name(first) != slice_name(second)


def test_a_slice_without_a_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"third\.png: 'third' is no place in a series"):
        ct(tmp_path, ct_row("a", 1), ct_row("a", "third"))


@pytest.mark.parametrize("name", ["slice", "patient"])
def test_a_missing_column_of_series_is_named(tmp_path: Path, name: str) -> None:
    stated = {key: value for key, value in ct_row("a", 1).items() if key != name}
    with pytest.raises(CollectionError, match=rf"ct\.csv has no column '{name}'"):
        ct(tmp_path, stated)


def test_a_series_that_is_too_short_is_refused() -> None:
    short = [example(n, series="s7", order=n, group="g") for n in range(MOST - 1)]
    with pytest.raises(CollectionError, match="series s7: 4 slices"):
        series_of(short)


@pytest.mark.parametrize("stated", [{"group": "other"}, {"fold": 1}])
def test_a_series_of_two_patients_or_folds_is_refused(stated: dict[str, Any]) -> None:
    same = {"series": "s7", "group": "g", "fold": 0}
    slices = [example(n, order=n, **same) for n in range(MOST)]
    series_of(slices)
    with pytest.raises(CollectionError, match="2 pairs of patient and fold"):
        series_of([*slices, example(9, order=9, **{**same, **stated})])


def test_folds_are_dealt_by_patient_where_no_column_states_them(tmp_path: Path) -> None:
    rows = [ct_row(f"p{n // 5}", n) for n in range(100)]
    found = ct(tmp_path, *rows, split={"folds": 3})
    assert {each.fold for each in found} == {0, 1, 2}
    assert all(each.fold == dealt_fold(each.group, 3) for each in found)
    assert {each.fold for each in ct(tmp_path, *rows)} == {-1}


def test_a_stated_fold_goes_before_a_dealt_one(tmp_path: Path) -> None:
    found = ct(tmp_path, ct_row("a", 1, fold="7"), ct_row("b", 1, fold=""), split={"folds": 3})
    assert found[0].fold == 7
    assert found[1].fold == dealt_fold("b", 3)


# -- choosing --


def test_a_row_matches_if_every_column_has_one_of_the_values() -> None:
    columns = {"a": "1", "b": "2"}
    assert matches(columns, {})
    assert matches(columns, {"a": ["0", "1"], "b": ["2"]})
    assert not matches(columns, {"a": ["1"], "b": ["3"]})
    assert matches(columns, {"c": [""]})
    assert not matches(columns, {"c": ["1"]})


def test_select_gives_positions() -> None:
    found = select([example(n, label=n % 2) for n in range(5)], lambda each: each.label == 1)
    assert found.tolist() == [1, 3]
    assert select([], lambda each: True).dtype == np.intp


def test_a_rare_kind_is_drawn_more_often_than_it_comes_but_not_as_often_as_a_common_one() -> None:
    here, there = {"facts": {"source": "here"}}, {"facts": {"source": "there"}}
    examples = [example(n, **here) for n in range(16)] + [example(n, **there) for n in range(4)]
    examples += [example(99, label=1, weight=3.0, **there)]
    weights = sampling_weights(examples)
    assert weights[:16] == pytest.approx(np.full(16, 0.25))
    assert weights[16:20] == pytest.approx(np.full(4, 0.5))
    assert weights[20] == 3.0
