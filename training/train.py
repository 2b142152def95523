"""From a recipe to a package: the whole of ``wetread train`` (needs torch)."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from training.collection import Example, read_collection
from training.errors import CollectionError
from training.images import train_images
from training.package import write_package
from training.pictures import size_of
from training.progress import Progress
from training.recipe import Recipe, digest, read_recipe
from training.slices import train_slices
from training.work import Work


def train(
    recipe_file: Path, data: Path, out: Path, *, work: Path, threads: int = 0, quiet: bool = False
) -> None:
    """Train what a recipe says and write the package into ``out``.

    Parameters
    ----------
    recipe_file
        The recipe.
    data
        The folder that its paths are relative to.
    out
        The package's folder.
    work
        Folder for prepared pictures and checkpoints; a killed run continues from here.
    threads
        CPU threads; 0 lets torch choose.
    quiet
        Say nothing on the way.

    Raises
    ------
    RecipeError, CollectionError, WeightsError, CalibrationError, ExportError
        What is wrong with the recipe, the images, the backbone, the split or the graph; or the
        images are not those that the checkpoints in ``work`` come from.
    """
    started = time.monotonic()
    recipe = read_recipe(recipe_file)
    if threads:
        torch.set_num_threads(threads)
    progress = Progress(quiet=quiet)
    examples = read_collection(recipe, data)
    _same_images(recipe, examples, work)
    where = Work(data=data, folder=work, progress=progress)
    trained = (train_slices if recipe.series else train_images)(recipe, examples, where)
    difference = write_package(recipe, recipe_file, trained, out)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    progress.say(
        f"{out}: written; exported graph and network differ by at most {difference:.1g}; "
        f"{(time.monotonic() - started) / 60:.1f} min, of which on processors "
        f"{(usage.ru_utime + usage.ru_stime) / 60:.1f} min; greatest memory "
        f"{usage.ru_maxrss / 2**20:.1f} GiB"
    )


def _same_images(recipe: Recipe, examples: Sequence[Example], work: Path) -> None:
    """Refuse checkpoints of the same recipe that were trained on other images.

    They would be taken for this training's own, and the new images would change nothing.
    """
    seen = [
        (each.data, each.path.name, size_of(each.path), each.target, each.group, each.part,
         each.fold, each.series, each.order, each.screens, each.kinds, each.weight)
        for each in examples
    ]  # fmt: skip
    name = hashlib.sha256(repr(seen).encode()).hexdigest()
    file = work / f"images-{digest(recipe)}.txt"
    if file.is_file() and file.read_text("utf-8") != name:
        raise CollectionError(
            f"{work}: its checkpoints come from other images or labels; "
            "remove it, or name another folder with --work"
        )
    work.mkdir(parents=True, exist_ok=True)
    file.write_text(name, "utf-8")
