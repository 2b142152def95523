"""``wetread models``: the model packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json, show_table
from wetread.config import load

app = typer.Typer(no_args_is_help=True, help="The model packages: list, check.")


@app.command("list")
def list_models(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the packages that workers read with."""
    from inference.errors import ManifestError
    from inference.package import find_packages

    settings = load(config).models
    try:
        packages = find_packages(settings.folders, settings.disabled)
    except ManifestError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.CONFIG) from error
    rows = [
        {
            "name": each.name,
            "version": each.version,
            "title": each.manifest.model.title,
            "modality": each.manifest.accepts.modality,
            "body_part": each.manifest.accepts.body_part,
            "view": each.manifest.accepts.view,
            "folder": str(each.folder),
        }
        for each in packages
    ]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("name", "version", "modality", "body_part", "view", "title"), "no models")


@app.command("check")
def check_models(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Package folders; else all that are configured.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check manifests, hashes and graphs, and run each model once."""
    from inference.errors import ReadingError
    from inference.package import find_packages, read_package
    from inference.runtime import Model

    settings = load(config).models
    rows: list[dict[str, Any]] = []
    try:
        found = [] if folders else find_packages(settings.folders, settings.disabled)
        places = folders or [each.folder for each in found]
    except ReadingError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.CONFIG) from error
    for place in places:
        row: dict[str, Any] = {"folder": str(place), "ok": False, "name": None, "provider": None}
        try:
            model = Model(read_package(place))
            row |= {"ok": True, "name": model.package.name, "provider": model.provider}
            row["problem"] = None
        except ReadingError as error:
            row["problem"] = str(error)
        rows.append(row)
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("folder", "ok", "provider", "problem"), "no models")
    if not all(each["ok"] for each in rows):
        raise typer.Exit(Exit.CONFIG)
