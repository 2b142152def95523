"""``wetread models``: the model packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db import disabled, holds, overview
from db.errors import IllegalMove, NotFound
from db.schema import EVERYTHING
from wetread.cli import model_actions
from wetread.cli.node_database import node_database
from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json, show_table
from wetread.config import Settings, load
from wetread.trails import command_trail

if TYPE_CHECKING:
    from inference.package import Package

app = typer.Typer(
    no_args_is_help=True,
    help="The model packages: list, check, test, install, pause, resume, disable, enable.",
)
model_actions.register(app)

ModelName = Annotated[
    str | None, typer.Argument(help="The model, as 'wetread models list' shows it; none: all.")
]
OneModel = Annotated[str, typer.Argument(help="The model, as 'wetread models list' shows it.")]


@app.command("list", epilog="Example: wetread models list --json.")
def list_models(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the packages that workers read with."""
    packages = _packages(load(config))
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


@app.command("check", epilog="Example: wetread models check ./my-model.")
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

    settings = load(config)
    rows: list[dict[str, Any]] = []
    try:
        found = [] if folders else find_packages(settings.model_folders(), settings.models.disabled)
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


@app.command("pause", epilog="Example: wetread models pause cxr-covid --reason 'new version'.")
def pause(
    name: ModelName = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever looks.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin no job of a model on any host; those at hand are finished, and studies are queued."""
    _tell(pause_quietly(load(config), name, reason), as_json)


def pause_quietly(settings: Settings, name: str | None, reason: str | None) -> list[dict[str, Any]]:
    """Pause a model, or all; what is paused then."""
    what = _known(settings, name)
    database = node_database(settings)
    with command_trail(settings) as trail:
        with database.write() as connection:
            changed = holds.pause(connection, what, reason)
            rows = overview.paused(connection)
        if changed:
            trail.admin_action(f"reading with {_shown(what)} paused", f"wetread:model:{what}")
    return rows


@app.command("resume", epilog="Example: wetread models resume cxr-covid.")
def resume(
    name: ModelName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Go on with the jobs of a model, or end a pause of all models."""
    settings = load(config)
    what = name or EVERYTHING
    database = node_database(settings)
    with command_trail(settings) as trail:
        with database.write() as connection:
            if disabled.is_disabled(connection, what):
                raise IllegalMove(f"model {what} is disabled: 'wetread models enable {what}'")
            if not holds.resume(connection, what):
                raise NotFound(f"{_shown(what)} is not paused; 'wetread status' shows what is")
            rows = overview.paused(connection)
        trail.admin_action(f"reading with {_shown(what)} resumed", f"wetread:model:{what}")
    _tell(rows, as_json)


@app.command("disable", epilog="Example: wetread models disable cxr-covid --reason 'new detector'.")
def disable(
    name: OneModel,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever looks.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read no more studies with a model, on any host, at once; each study says so.

    What is queued for it stays queued. Workers need not be started again.
    """
    settings = load(config)
    _known(settings, name)
    database = node_database(settings)
    with command_trail(settings) as trail:
        with database.write() as connection:
            changed = disabled.disable(connection, name, reason)
            rows = overview.disabled(connection)
        if changed:
            trail.admin_action(f"model {name} disabled", f"wetread:model:{name}")
    _tell_disabled(rows, as_json)


@app.command("enable", epilog="Example: wetread models enable cxr-covid.")
def enable(name: OneModel, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read studies with a model again, and what was queued for it.

    A study that came meanwhile is read after 'wetread studies route UID'.
    """
    settings = load(config)
    database = node_database(settings)
    with command_trail(settings) as trail:
        with database.write() as connection:
            if not disabled.enable(connection, name):
                raise NotFound(f"model {name} is not disabled; 'wetread status' shows what is")
            rows = overview.disabled(connection)
        trail.admin_action(f"model {name} enabled", f"wetread:model:{name}")
    _tell_disabled(rows, as_json)


def _tell_disabled(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show_json(rows)
    else:
        show_table(rows, ("name", "since", "reason"), "nothing is disabled")


def _packages(settings: Settings) -> list[Package]:
    from inference.errors import ManifestError
    from inference.package import find_packages

    try:
        return find_packages(settings.model_folders(), settings.models.disabled)
    except ManifestError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.CONFIG) from error


def _known(settings: Settings, name: str | None) -> str:
    """The name of a model that is here, or of all."""
    if name is None:
        return EVERYTHING
    here = {each.name for each in _packages(settings)}
    if name not in here:
        raise NotFound(f"there is no model {name}; there are {', '.join(sorted(here)) or 'none'}")
    return name


def _shown(name: str) -> str:
    return "all models" if name == EVERYTHING else f"model {name}"


def _tell(paused: list[dict[str, Any]], as_json: bool) -> None:
    """Say what is paused now."""
    if as_json:
        show_json(paused)
    else:
        show_table(paused, ("name", "since", "reason"), "nothing is paused")
