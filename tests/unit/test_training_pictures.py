"""What a model is trained on is what the node shows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread

from inference.crop import head_box
from inference.pixels import Preparation, displayed, prepare
from inference.volume import volume_of
from tests.ctfiles import between, head_series
from tests.dicomfiles import as_file, colour, image
from tests.tinytraining import example
from training.collection import Example
from training.errors import CollectionError
from training.pictures import prepared, read_picture, size_of

CHEST = Preparation(rows=64, columns=64, channels=1, mean=0.4, std=0.3)
HEAD = Preparation(rows=48, columns=48, channels=1, window=(40.0, 120.0), crop="head")
ROUNDED = 0.5 / 255.0 + 1e-6


def grey_of(tensor: NDArray[np.float32], how: Preparation) -> NDArray[np.float32]:
    """What the node's tensor says, 0..1."""
    return tensor[..., 0, :, :] * how.std + how.mean


def radiograph() -> Dataset:
    """A detector that stores dense as dark, with a window that cuts off both ends."""
    down, across = np.mgrid[:90, :70]
    stored = (3000 - 20 * down - 10 * across + 300 * ((down // 9 + across // 7) % 2)).clip(0)
    return image(
        stored.astype(np.uint16),
        Modality="CR",
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=1500,
        WindowWidth=1800,
    )


def save(dataset: Dataset, path: Path) -> Path:
    path.write_bytes(as_file(dataset))
    return path


def export(picture: NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path


def test_a_radiograph_and_its_export_are_trained_on_as_the_node_sees_them(tmp_path: Path) -> None:
    file = save(radiograph(), tmp_path / "a.dcm")
    picture = displayed(dcmread(file))
    assert 0 < (picture == 0).mean() < 0.5  # the window cuts something off
    assert picture[:20].mean() < picture[-20:].mean()  # and dense is white
    node = grey_of(prepare(picture, CHEST), CHEST)
    greys = prepared([example(path=file), example(path=export(picture, tmp_path / "a.png"))], CHEST)
    assert np.abs(greys[0] / 255.0 - node).max() <= ROUNDED
    assert (greys[0] == greys[1]).all()


def head(tmp_path: Path) -> tuple[list[Dataset], list[Example], list[Example]]:
    """A series, its files as examples, and the same of the pictures exported from it."""
    series = head_series(bleed=between(0, 12), heights=range(-40, 41, 5))
    files, exports = [], []
    for order, each in enumerate(series):
        stated: dict[str, Any] = {"series": "s", "order": order}
        files.append(example(path=save(each, tmp_path / f"{order}.dcm"), **stated))
        shown = displayed(each, HEAD.window)
        exports.append(example(path=export(shown, tmp_path / f"{order}.png"), **stated))
    return series, files, exports


def node_greys(series: Sequence[Dataset]) -> NDArray[np.float32]:
    """What ``inference.series_reading`` gives the model for a series."""
    volume = volume_of(series, 5.0, (40.0, 120.0))
    box = head_box(volume.pictures)
    return grey_of(np.stack([prepare(each, HEAD, box) for each in volume.pictures]), HEAD)


def test_a_ct_series_and_its_export_are_trained_on_as_the_node_sees_them(tmp_path: Path) -> None:
    series, files, exports = head(tmp_path)
    node = node_greys(series)
    assert node.shape == (len(series), 48, 48)
    greys = prepared(files, HEAD)
    assert np.abs(greys / 255.0 - node).max() <= ROUNDED
    assert (greys == prepared(exports, HEAD)).all()


def test_slices_of_a_series_share_the_box_around_the_head(tmp_path: Path) -> None:
    _, files, _ = head(tmp_path)
    together = prepared(files, HEAD)
    alone = prepared([example(path=each.path) for each in files], HEAD)
    assert (together != alone).any()


def test_the_series_of_two_collections_are_not_mixed(tmp_path: Path) -> None:
    _, files, _ = head(tmp_path)
    near = files[:3]
    far = [example(path=each.path, series="s", data="other") for each in files[-3:]]
    both = prepared([*near, *far], HEAD)
    assert (both == np.concatenate([prepared(near, HEAD), prepared(far, HEAD)])).all()


def test_a_cached_result_is_used_again_without_reading_an_image(tmp_path: Path) -> None:
    file = export(displayed(radiograph()), tmp_path / "a.png")
    examples = [example(path=file)]
    first = prepared(examples, CHEST, tmp_path / "cache")
    file.write_bytes(b"\0" * file.stat().st_size)
    assert (prepared(examples, CHEST, tmp_path / "cache") == first).all()
    with pytest.raises(CollectionError):
        prepared(examples, CHEST)


@pytest.mark.parametrize("change", ["size", "preparation", "file"])
def test_a_cached_result_of_something_else_is_not_used(tmp_path: Path, change: str) -> None:
    file, how, cache = tmp_path / "a.png", CHEST, tmp_path / "cache"
    export(displayed(radiograph()), file)
    first = prepared([example(path=file)], how, cache)
    if change == "size":
        export(np.zeros((90, 70), np.uint8), file)
    elif change == "file":
        file = export(np.zeros((90, 70), np.uint8), tmp_path / "b.png")
    else:
        how = Preparation(rows=32, columns=32, channels=1)
    second = prepared([example(path=file)], how, cache)
    assert second.shape != first.shape or (second != first).any()
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_was_not_written_to_its_end_is_not_used(tmp_path: Path) -> None:
    examples = [example(path=export(displayed(radiograph()), tmp_path / "a.png"))]
    first = prepared(examples, CHEST, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.rename(kept.with_suffix(".part"))
    kept.with_suffix(".part").write_bytes(b"half")
    assert (prepared(examples, CHEST, tmp_path / "cache") == first).all()


def test_a_colour_export_is_read_as_grey(tmp_path: Path) -> None:
    grey = displayed(radiograph())
    export(np.repeat(grey[..., None], 3, axis=2), tmp_path / "rgb.png")
    assert (read_picture(tmp_path / "rgb.png", CHEST) == grey).all()


def test_an_export_of_16_bits_is_refused(tmp_path: Path) -> None:
    """Pillow would clip all that is above 255 to white."""
    Image.fromarray(np.full((70, 70), 3000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(CollectionError, match=r"deep\.png: more than 8 bits"):
        read_picture(tmp_path / "deep.png", CHEST)


@pytest.mark.parametrize("name", ["bad.png", "bad.dcm"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(CollectionError, match=rf"{name}: cannot be read"):
        read_picture(tmp_path / name, CHEST)


def test_a_dicom_file_that_the_node_refuses_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"c\.dcm: photometric interpretation RGB"):
        read_picture(save(colour(), tmp_path / "c.dcm"), CHEST)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"gone\.png does not exist"):
        prepared([example(path=tmp_path / "gone.png")], CHEST, tmp_path / "cache")
    with pytest.raises(CollectionError, match="does not exist"):
        size_of(tmp_path)
