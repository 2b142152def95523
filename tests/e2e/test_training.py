"""``wetread train`` and ``wetread evaluate`` on images made here, from a folder to a package."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from inference.package import read_package
from tests.tinytraining import (
    SIDE,
    image_recipe,
    series_recipe,
    write_backbone,
    write_csv,
    write_pictures,
    write_recipe,
    write_series,
)
from wetread.cli.main import app
from wetread.cli.output import Exit

torch: Any = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")
loop: Any = importlib.import_module("training.loop")

HEADINGS = ["Intended use", "Data", "Figures", "Known confounders", "What must not be concluded"]


def wetread(*arguments: object) -> tuple[int, str, str]:
    """Run the command line; return exit code, standard output and standard error."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, series and a backbone."""
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder)
    write_series(folder)
    write_backbone(folder / "backbone.npz")
    return folder


def train(recipe: Path, data: Path, out: Path) -> tuple[int, str, str]:
    return wetread("train", recipe, "--data", data, "--out", out, "--threads", 1)


@pytest.fixture(scope="module")
def images(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated package that reads image by image."""
    out = tmp_path_factory.mktemp("images") / "tiny"
    recipe = write_recipe(out.parent / "own.toml", image_recipe())
    assert train(recipe, data, out)[0] == Exit.OK
    assert wetread("evaluate", out, "--data", data, "--card", "--threads", 1)[0] == Exit.OK
    return out


@pytest.fixture(scope="module")
def series(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated package that reads series."""
    out = tmp_path_factory.mktemp("series") / "tiny-ct"
    recipe = write_recipe(out.parent / "own.toml", series_recipe())
    assert train(recipe, data, out)[0] == Exit.OK
    assert wetread("evaluate", out, "--data", data, "--card", "--threads", 1)[0] == Exit.OK
    return out


@pytest.mark.parametrize("package", ["images", "series"])
def test_a_trained_package_is_whole_and_the_node_takes_it(
    package: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(package)
    assert {each.name for each in folder.iterdir()} == {
        "model.onnx", "model.toml", "recipe.toml", "training.json", "CARD.md", "evaluation",
    }  # fmt: skip
    written = {each.name for each in (folder / "evaluation").iterdir()}
    assert {"evaluation.json", "evaluation.html", "roc.png", "calibration.png"} <= written
    assert (folder / "recipe.toml").read_bytes() == (folder.parent / "own.toml").read_bytes()
    card = (folder / "CARD.md").read_text("utf-8")
    for heading in HEADINGS:
        assert f"\n## {heading}\n" in card
    code, out, _ = wetread("models", "check", folder)
    assert code == Exit.OK, out


def test_the_model_learned_what_the_pictures_show(images: Path) -> None:
    figures = json.loads((images / "evaluation/evaluation.json").read_text("utf-8"))
    assert figures["auc"][0] > 0.9
    assert sum(figures["n"]) == figures["images"]["test"] > 15
    assert sum(figures["images"].values()) == 120
    assert figures["package"]["sha256"] == read_package(images).manifest.model.sha256
    assert set(figures["history"]) == {"head", "network"}
    assert "thumbnail" in figures["baselines"]


def test_series_are_judged_by_networks_that_had_not_seen_them(series: Path) -> None:
    figures = json.loads((series / "evaluation/evaluation.json").read_text("utf-8"))
    assert figures["held_out"] is True
    assert figures["n"] == [12, 12]
    assert figures["auc"][0] > 0.75
    assert set(figures["history"]) == {"fold 0", "fold 1", "all"}
    record = json.loads((series / "training.json").read_text("utf-8"))
    assert len(set(record["folds"]["files"])) == len(record["folds"]["slice_logits"]) == 144


def test_an_evaluation_prints_its_tables_or_bare_json(images: Path, data: Path) -> None:
    out = images.parent / "elsewhere"
    code, said, _ = wetread("evaluate", images, "--data", data, "--out", out, "--threads", 1)
    assert code == Exit.OK
    assert "area under the ROC curve" in said
    assert "thumbnail alone" in said
    assert (out / "evaluation.json").is_file()
    code, said, _ = wetread("evaluate", images, "--data", data, "--out", out, "--json")
    assert code == Exit.OK
    assert json.loads(said) == json.loads((out / "evaluation.json").read_text("utf-8"))


def test_a_package_is_judged_on_other_images_by_another_recipe(
    images: Path, tmp_path: Path
) -> None:
    """What a site does with a package of others."""
    write_pictures(tmp_path, count=30)
    other = write_recipe(tmp_path / "site.toml", image_recipe(split={"fractions": [0.4, 0, 0.6]}))
    out = tmp_path / "out"
    code, said, _ = wetread(
        "evaluate", images, "--data", tmp_path, "--recipe", other, "--out", out, "--json"
    )
    assert code == Exit.OK
    assert sum(json.loads(said)["n"]) > 20
    assert "not evaluated" not in (images / "CARD.md").read_text("utf-8")


def test_studies_that_were_not_trained_on_are_read_by_the_package_itself(
    series: Path, tmp_path: Path
) -> None:
    """The names of their files are those of the training's; the names of the series are not."""
    write_series(tmp_path)
    text = re.sub(r",p(\d+)", r",q\1", (tmp_path / "ct.csv").read_text("utf-8"))
    (tmp_path / "ct.csv").write_text(text, "utf-8")
    code, said, wrong = wetread(
        "evaluate", series, "--data", tmp_path, "--out", tmp_path / "o", "--json"
    )
    assert code == Exit.OK, wrong
    assert json.loads(said)["held_out"] is False


def test_studies_of_which_some_were_trained_on_are_refused(series: Path, tmp_path: Path) -> None:
    write_series(tmp_path)
    text = (tmp_path / "ct.csv").read_text("utf-8").replace(",p1,", ",q1,")
    (tmp_path / "ct.csv").write_text(text, "utf-8")
    code, _, said = wetread("evaluate", series, "--data", tmp_path)
    assert code == Exit.FAILED
    assert "138 of 144 slices were trained on; judge the others by themselves" in said


# -- killed and run again --


class Killed(BaseException):
    """As abrupt as a signal."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let training die at its n-th checkpoint, before that is written."""
    keep = loop._Run.keep

    def after(count: int) -> None:
        left = [count]

        def die(run: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            keep(run)

        monkeypatch.setattr(loop._Run, "keep", die)

    return after


def test_a_training_that_was_cut_off_ends_with_the_same_graph(
    images: Path, data: Path, tmp_path: Path, killed: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    recipe, out = images.parent / "own.toml", tmp_path / "tiny"
    killed(2)  # the first stage is through, the second is lost
    with pytest.raises(Killed):
        train(recipe, data, out)
    assert not out.exists()
    monkeypatch.undo()
    assert train(recipe, data, out)[0] == Exit.OK
    assert read_package(out).manifest.model.sha256 == read_package(images).manifest.model.sha256


def test_checkpoints_of_other_images_are_not_taken_up(tmp_path: Path, data: Path) -> None:
    shutil.copytree(data / "pictures", tmp_path / "pictures")
    shutil.copy(data / "backbone.npz", tmp_path)
    recipe = write_recipe(tmp_path / "own.toml", image_recipe())
    assert train(recipe, tmp_path, tmp_path / "out")[0] == Exit.OK
    shutil.copy(tmp_path / "pictures/ill/ill0.png", tmp_path / "pictures/ill/new.png")
    code, _, said = train(recipe, tmp_path, tmp_path / "out")
    assert code == Exit.FAILED
    assert "out.work: its checkpoints come from other images or labels" in said


def test_a_package_trained_again_has_no_figures_of_the_one_before(
    images: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tiny"
    shutil.copytree(images, out)
    recipe = write_recipe(tmp_path / "own.toml", image_recipe(fit={"seed": 5}))
    assert train(recipe, data, out)[0] == Exit.OK
    assert "not evaluated yet" in (out / "CARD.md").read_text("utf-8")


# -- what is wrong is told in one line --


def failed(done: tuple[int, str, str]) -> str:
    """The message of a command that failed as it should."""
    code, out, said = done
    assert code == Exit.FAILED
    assert out == ""
    assert "Traceback" not in said
    message = said.splitlines()[-1]
    assert message.startswith("wetread: ")
    return message


def test_a_missing_recipe_is_named(tmp_path: Path, data: Path) -> None:
    said = failed(train(tmp_path / "none.toml", data, tmp_path / "out"))
    assert "none.toml: cannot be read: No such file or directory" in said


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "own.toml", image_recipe())
    said = failed(train(recipe, tmp_path / "nowhere", tmp_path / "out"))
    assert "nowhere/pictures/normal does not exist; one folder per class is expected" in said
    assert not (tmp_path / "out").exists()


def test_a_missing_backbone_is_named(tmp_path: Path, data: Path) -> None:
    tables = image_recipe(network={"backbone": "none.npz"})
    said = failed(train(write_recipe(tmp_path / "own.toml", tables), data, tmp_path / "out"))
    assert "none.npz: cannot be read as the backbone's weights" in said


def listed(tmp_path: Path, *rows: dict[str, str]) -> Path:
    """A recipe for a CSV file of these rows."""
    write_csv(tmp_path / "list.csv", rows)
    tables = image_recipe(data=[{"name": "own", "files": "list.csv", "values": {"n": "normal"}}])
    return write_recipe(tmp_path / "own.toml", tables)


def test_an_unknown_value_of_the_class_is_named(tmp_path: Path) -> None:
    recipe = listed(tmp_path, {"file": "a.png", "class": "wolf"})
    said = failed(train(recipe, tmp_path, tmp_path / "out"))
    assert "a.png: class 'wolf' is not among [[data]] values" in said


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    recipe = listed(tmp_path, {"file": "a.png", "class": "n"})
    said = failed(train(recipe, tmp_path, tmp_path / "out"))
    assert said.endswith("a.png does not exist")


@pytest.mark.parametrize(
    ("command", "module"), [("train", "torch"), ("train", "tomli_w"), ("evaluate", "matplotlib")]
)
def test_a_missing_extra_is_named_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, module: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    said = failed(
        wetread(command, tmp_path, "--data", tmp_path)
        if command == "evaluate"
        else train(tmp_path, tmp_path, tmp_path)
    )
    assert said == f"wetread: {module} missing; install the extra: pip install 'wetread[train]'"


def test_a_package_without_its_recipe_is_told(images: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "tiny")
    (tmp_path / "tiny/recipe.toml").unlink()
    said = failed(wetread("evaluate", tmp_path / "tiny", "--data", data))
    assert "recipe.toml: cannot be read" in said


def test_a_package_that_was_altered_is_not_judged(images: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "tiny")
    with (tmp_path / "tiny/model.onnx").open("ab") as graph:
        graph.write(b"\0")
    said = failed(wetread("evaluate", tmp_path / "tiny", "--data", data))
    assert "SHA-256" in said


def test_a_recipe_of_other_classes_cannot_judge(images: Path, data: Path, tmp_path: Path) -> None:
    tables = image_recipe()
    tables["class"][1]["label"] = "other"
    tables["data"][0]["values"]["ill"] = "other"
    other = write_recipe(tmp_path / "other.toml", tables)
    said = failed(wetread("evaluate", images, "--data", data, "--recipe", other))
    assert "do not name the same classes" in said


# -- a region, three classes and scores, as the chest recipe has them --


@pytest.fixture(scope="module")
def regional(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated package with everything that an image recipe may have."""
    root = tmp_path_factory.mktemp("regional")
    shutil.copytree(data / "pictures", root / "pictures")
    shutil.copy(data / "backbone.npz", root)
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    disc = Image.fromarray(np.uint8(255 * (down**2 + across**2 < 0.2)))
    disc.save(root / "pictures/mask.png")
    rows = [
        {
            "file": f"{name}/{name}{n}.png", "kind": kind, "group_id": f"{name}{n}",
            "split": ("train", "train", "val", "test")[n // 2 % 4], "mask": "mask.png",
            "source": "ab"[n % 2],
        }
        for n in range(60)
        for name, kind in (("normal", "n"), ("ill", "first" if n % 2 else "second"))
    ]  # fmt: skip
    write_csv(root / "pictures/list.csv", rows)
    scored = [
        {"file": f"ill/ill{n}.png", "group_id": f"ill{n}", "fold": n % 2, "extent": n % 9}
        for n in range(20)
    ]
    write_csv(root / "pictures/extent.csv", scored)
    tables = image_recipe(region={"files": "pictures/list.csv", "epochs": 6, "side": 32})
    code = {"scheme": "99TEST", "meaning": "Kind"}
    tables["class"] = [
        tables["class"][0],
        {"label": "first", "code": {"value": "1", **code}},
        {"label": "second", "code": {"value": "2", **code}},
    ]
    tables["data"] = [
        {
            "name": "own", "files": "pictures/list.csv", "columns": {"label": "kind"},
            "values": {"n": "normal", "first": "first", "second": "second"},
            "kinds": {"source": ["a", "b"]},
        }
    ]  # fmt: skip
    tables["score"] = [
        {"files": "pictures/extent.csv", "column": "extent", "lowest": 0.0, "highest": 8.0,
         "code": {"value": "E", "scheme": "99TEST", "meaning": "Extent"}}
    ]  # fmt: skip
    tables["question"] = [
        {"title": "First kind?", "data": "own", "where": {"kind": ["first", "second"]},
         "yes": {"kind": ["first"]}, "score": "first"}
    ]  # fmt: skip
    out = root / "tiny-region"
    recipe = write_recipe(root / "own.toml", tables)
    code_, _, said = train(recipe, root, out)
    assert code_ == Exit.OK, said
    code_, _, said = wetread("evaluate", out, "--data", root, "--card", "--threads", 1)
    assert code_ == Exit.OK, said
    return out


def test_a_region_is_learned_and_three_classes_and_a_score_are_judged(regional: Path) -> None:
    assert wetread("models", "check", regional)[0] == Exit.OK
    record = json.loads((regional / "training.json").read_text("utf-8"))
    region = record["history"]["region"]
    assert region["val"][region["best"]] < 0.7 * region["val"][0]
    figures = json.loads((regional / "evaluation/evaluation.json").read_text("utf-8"))
    assert np.array(figures["classes"]["confusion"]).shape == (3, 3)
    assert figures["auc"][0] > 0.7
    assert [each["name"] for each in figures["scores"]] == ["Extent"]
    assert figures["scores"][0]["n"] == 20
    assert [each["title"] for each in figures["questions"]] == ["First kind?"]
    card = (regional / "CARD.md").read_text("utf-8")
    assert "| Extent (0-8) | 20 |" in card


def test_patients_with_scores_were_trained_on_for_nothing_else(regional: Path) -> None:
    """Of the 60 pairs, 32 are in training; their twenty scored patients are not."""
    record = json.loads((regional / "training.json").read_text("utf-8"))
    ill = sum(n >= 20 and n // 2 % 4 < 2 for n in range(60))
    normal = sum(n // 2 % 4 < 2 for n in range(60))
    assert record["images"]["train"] == ill + normal
