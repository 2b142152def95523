"""A small but real model package: bright pictures are abnormal. It can be made wrong in many ways.

The graph (``tests.tinygraph``) has an output of every kind; the manifest says which are read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.tinygraph import Fault, graph

_HEAD = """\
[model]
name = "tiny"
version = "1.0"
title = "Brightness screening"
manufacturer = "tests"
sha256 = "{sha256}"
intended_use = "Tests only."
licence = "Apache-2.0"

[accepts]
modality = ["CR", "DX"]
body_part = ["CHEST", "THORAX"]
view = ["PA", "AP", ""]
minimum_rows = 16
minimum_columns = 16

[report]
procedure = { value = "43468-8", scheme = "LN", meaning = "XR unspecified body region Views" }

[prepare]
rows = 32
columns = 32
channels = 1

[runtime]
input = "image"
batch = 2
"""

CLASSIFICATION = """
[classification]
output = "probability"
activation = "activation"
threshold = 0.5
indeterminate = [0.4, 0.6]
operating_point = "none; brightness decides"

[[classification.class]]
label = "normal"
normal = true
code = { value = "17621005", scheme = "SCT", meaning = "Normal" }

[[classification.class]]
label = "pneumonia"
code = { value = "233604007", scheme = "SCT", meaning = "Pneumonia" }
"""


SCORE = """
[[score]]
output = "score"
code = { value = "1", scheme = "99TEST", meaning = "Extent" }
lowest = 0
highest = 8
"""

GRADE = """
[[grade]]
output = "grade"
code = { value = "2", scheme = "99TEST", meaning = "Brightness" }
abnormal_from = 1
threshold = 0.5
indeterminate = [0.4, 0.6]

[[grade.level]]
label = "dark"
code = { value = "20", scheme = "99TEST", meaning = "Dark" }

[[grade.level]]
label = "grey"
code = { value = "21", scheme = "99TEST", meaning = "Grey" }

[[grade.level]]
label = "bright"
code = { value = "22", scheme = "99TEST", meaning = "Bright" }
"""

DETECTION = """
[detection]
boxes = "boxes"
scores = "box_scores"
labels = "box_labels"
threshold = 0.6
operating_point = "none; brightness decides"

[[detection.class]]
label = "mass"
code = { value = "4147007", scheme = "SCT", meaning = "Mass" }

[[detection.class]]
label = "spot"
code = { value = "3", scheme = "99TEST", meaning = "Spot" }
"""

SEGMENTATION = """
[segmentation]
output = "mask"
threshold = 0.7
minimum_share = 0.02

[[segmentation.class]]
label = "bright part"
code = { value = "4", scheme = "99TEST", meaning = "Bright part" }
"""

URGENCY = """
[urgency]
threshold = 0.7
category = 1
urgent = "Urgent: red."
routine = "Can wait: green."
undecided = "Undecided: yellow."
"""

SERIES = """
[series]
minimum_slices = 8
maximum_slices = 64
spacing_mm = 5.0
minimum_coverage_mm = 40.0
shown_slices = 3
"""


def write_package(
    root: Path,
    *edits: tuple[str, str],
    sections: str = CLASSIFICATION,
    folder: str = "tiny",
    fault: Fault | None = None,
) -> Path:
    """Write a package below ``root`` and return its folder.

    Parameters
    ----------
    root
        A folder for ``[models] folders``.
    edits
        (old, new) texts to change in the manifest; ``old`` must be there.
    sections
        What the model says: the manifest's sections after ``[runtime]``.
    folder
        Name of the package's folder.
    fault
        What to break in the graph.
    """
    package = root / folder
    package.mkdir(parents=True)
    content = graph(fault).SerializeToString()
    (package / "model.onnx").write_bytes(content)
    manifest = _HEAD.replace("{sha256}", hashlib.sha256(content).hexdigest()) + sections
    for old, new in edits:
        assert old in manifest, old
        manifest = manifest.replace(old, new)
    (package / "model.toml").write_text(manifest, "utf-8")
    (package / "CARD.md").write_text("# tiny\n", "utf-8")
    return package


def write_series_package(root: Path, *edits: tuple[str, str], folder: str = "tiny-ct") -> Path:
    """Write a package that reads head CT series; a study is as abnormal as its brightest slice."""
    return write_package(
        root,
        ('name = "tiny"', 'name = "tiny-ct"'),
        ('modality = ["CR", "DX"]', 'modality = ["CT"]'),
        ('body_part = ["CHEST", "THORAX"]', 'body_part = ["HEAD"]'),
        ('view = ["PA", "AP", ""]\n', ""),
        ("channels = 1", 'channels = 1\nwindow = [40, 120]\ncrop = "head"'),
        (
            'output = "probability"',
            'output = "study_probability"\nslice_output = "probability"',
        ),
        *edits,
        sections=SERIES + CLASSIFICATION + URGENCY,
        folder=folder,
    )
