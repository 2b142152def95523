"""What is decoded for the model, and what is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.errors import PixelError
from inference.package import read_package
from inference.runtime import Model
from inference.study import decode, read, shown
from inference.volume import Volume
from tests.dicomfiles import image
from tests.tinymodel import write_package

WINDOWED = ("channels = 1", "channels = 1\nwindow = [3500, 10]")


def test_without_a_window_the_model_sees_what_is_shown(tmp_path: Path) -> None:
    model = Model(read_package(write_package(tmp_path)), threads=1)
    sources = [image(number=1), image(number=2)]
    seen = decode(model.package.manifest, sources)
    assert not isinstance(seen.content, Volume)
    reading = read(model, seen)
    assert shown(model.package.manifest, seen, reading) is seen.content
    assert [each.sop_instance_uid for each in reading.images] == list(seen.content)


def test_a_models_window_is_not_the_one_that_is_shown(tmp_path: Path) -> None:
    model = Model(read_package(write_package(tmp_path, WINDOWED)), threads=1)
    values = np.tile(np.linspace(3000, 4000, 32).astype(np.uint16), (40, 1))
    sources = [image(values, WindowCenter=3500, WindowWidth=2000)]
    seen = decode(model.package.manifest, sources)
    assert not isinstance(seen.content, Volume)
    pictures = shown(model.package.manifest, seen, read(model, seen))
    (uid,) = pictures
    assert len(np.unique(pictures[uid])) > 20
    assert len(np.unique(seen.content[uid])) < 5


def test_ct_values_without_units_are_no_input(tmp_path: Path) -> None:
    manifest = read_package(write_package(tmp_path, WINDOWED)).manifest
    with pytest.raises(PixelError, match="no Rescale Slope"):
        decode(manifest, [image(Modality="CT")])
