"""From a recipe to a package: the whole of ``wetread train`` (needs torch)."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch

from training.collection import read_collection
from training.images import train_images
from training.package import write_package
from training.progress import Progress
from training.recipe import read_recipe
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
        What is wrong with the recipe, the images, the backbone, the split or the graph.
    """
    started = time.monotonic()
    recipe = read_recipe(recipe_file)
    if threads:
        torch.set_num_threads(threads)
    progress = Progress(quiet=quiet)
    examples = read_collection(recipe, data)
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
