"""``wetread train|evaluate``: model packages made and judged (extra: train)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from wetread.cli.output import Exit, JsonOption, show_json, show_table

Data = Annotated[
    Path, typer.Option("--data", help="Folder with the images; the recipe's paths start there.")
]
Threads = Annotated[
    int, typer.Option(min=0, max=1024, help="CPU threads; 0: as many as there are cores.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "train", epilog="Example: wetread train recipe.toml --data ./images --out ./my-model."
    )(train)
    app.command("evaluate", epilog="Example: wetread evaluate ./my-model --data ./images.")(
        evaluate
    )


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe; docs/training.md describes it.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder of the model package to write.")],
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for prepared pictures and checkpoints; else OUT.work. Run the same "
            "command again after a kill, and training goes on where it was."
        ),
    ] = None,
    threads: Threads = 0,
) -> None:
    """Train a model from a recipe and images, and write a checked model package."""
    _need("torch", "sklearn", "onnx", "tomli_w")
    from training.train import train as run

    with _one_message():
        run(recipe, data, out, work=work or out.with_name(f"{out.name}.work"), threads=threads)


def evaluate(
    package: Annotated[Path, typer.Argument(help="Folder of the model package.")],
    data: Data,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for JSON, plots and HTML; else PACKAGE/evaluation."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="What to judge by; else the recipe in the package.")
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--card", help="Write the package's CARD.md from the figures.")
    ] = False,
    threads: Threads = 0,
    as_json: JsonOption = False,
) -> None:
    """Judge a model package on images: figures with intervals, beside trivial baselines."""
    _need("sklearn", "matplotlib")
    from training.judge import judge
    from training.tables import tables

    with _one_message():
        figures = judge(
            package, data, out, recipe_file=recipe, write_card=write_card, threads=threads
        )
    if as_json:
        show_json(figures)
    else:
        for table in tables(figures):
            rows = [dict(zip(table.head, row, strict=True)) for row in table.rows]
            typer.echo(f"\n{table.title}")
            show_table(rows, table.head, "")


def _need(*modules: str) -> None:
    """Leave with a word on what to install, where the extra is not."""
    from importlib.util import find_spec

    missing = [each for each in modules if find_spec(each) is None]
    if missing:
        sys.stderr.write(
            f"wetread: {', '.join(missing)} missing; install the extra: "
            "pip install 'wetread[train]'\n"
        )
        raise typer.Exit(Exit.FAILED)


@contextmanager
def _one_message() -> Iterator[None]:
    """Turn what is wrong with recipe, images or package into one message and an exit code."""
    from inference.errors import ReadingError
    from training.errors import TrainingError

    try:
        yield
    except (TrainingError, ReadingError) as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.FAILED) from error
