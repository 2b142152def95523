"""``wetread models test|install``: a package tried, and put where workers find it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wetread.cli.output import ConfigOption, Exit, JsonOption, show_fields, show_json
from wetread.config import Settings, load

if TYPE_CHECKING:
    from inference.package import Package

_TRIED = ("model", "version", "provider", "images", "passed_over", "seconds")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "test",
        epilog="Examples: wetread models test cxr-covid. wetread models test head-ct-triage "
        "/data/study. wetread models test ./my-model /data/study --json.",
    )(read_with)
    app.command("install", epilog="Example: wetread models install ./head-ct-triage-1.1.")(
        install_model
    )


def read_with(
    model: Annotated[str, typer.Argument(help="Name of a model, or a package folder.")],
    study: Annotated[
        Path | None,
        typer.Argument(help="Folder with one study's files; else a synthetic chest radiograph."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a study with one model and show its answers; nothing is recorded or sent."""
    import tempfile

    from inference.errors import ReadingError
    from wetread import trial

    package = _package(load(config), model)
    with tempfile.TemporaryDirectory(prefix="wetread-") as folder:
        paths = _files(study) if study else trial.write_sample(Path(folder))
        try:
            row = trial.try_model(package, paths)
        except ReadingError as error:
            sys.stderr.write(f"wetread: {error}\n")
            raise typer.Exit(Exit.FAILED) from error
    if as_json:
        show_json(row)
    else:
        show_fields(row, _TRIED)
        typer.echo(f"answers      {json.dumps(row['answers'], ensure_ascii=False)}")
    if row["answers"] is None:
        raise typer.Exit(Exit.FAILED)


def install_model(
    folder: Annotated[Path, typer.Argument(help="Package folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also in place of a version as new or newer.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a package and copy it to where workers look: they read with it once started again.

    That is the first of the settings' model folders, or the folder 'models' in the data folder.
    """
    from inference.errors import ReadingError
    from inference.package import find_packages, read_package
    from inference.runtime import Model
    from wetread.installing import install
    from wetread.trails import command_trail

    settings = load(config)
    target = settings.install_folder()
    try:
        package = read_package(folder)
        Model(package)
        present = find_packages(settings.model_folders())
        with command_trail(settings) as trail:
            place = install(package, target, present, force=force)
            trail.admin_action(
                f"model {package.name} {package.version} installed", f"wetread:model:{package.name}"
            )
    except ReadingError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.CONFIG) from error
    row: dict[str, Any] = {"name": package.name, "version": package.version, "folder": str(place)}
    if as_json:
        show_json(row)
    else:
        typer.echo(f"{package.name} {package.version} is in {place}; start the workers again")


def _package(settings: Settings, model: str) -> Package:
    """The package of that name, or in that folder."""
    from db.errors import NotFound
    from inference.errors import ManifestError
    from inference.package import find_packages, read_package

    try:
        if Path(model).is_dir():
            return read_package(Path(model))
        found = {each.name: each for each in find_packages(settings.model_folders())}
    except ManifestError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.CONFIG) from error
    if model not in found:
        raise NotFound(f"there is no model {model}; there are {', '.join(sorted(found)) or 'none'}")
    return found[model]


def _files(folder: Path) -> list[Path]:
    found = sorted(each for each in folder.rglob("*") if each.is_file())
    if not found:
        raise typer.BadParameter(f"{folder}: no files")
    return found
