"""``wetread storage``: what is kept, what retention removes, and whether rows and files agree."""

from __future__ import annotations

import threading
from functools import partial
from typing import Annotated, Any

import typer

from db import orphans, overview, retention
from db.archive import Archive
from db.engine import Database
from db.retention import Rule
from scp.disk import MEGABYTE, free_bytes
from wetread import log
from wetread.cli.node_database import node_database
from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json, show_table
from wetread.config import Settings, load
from wetread.roles import open_database, open_retention
from wetread.trails import command_trail
from wetread.words import shown_size

app = typer.Typer(no_args_is_help=True, help="The data folder: show, purge, verify.")

_FOLDERS = {"spool": "spool", "set_aside": "conflicts", "orphans": "orphans", "leaving": "purged"}
_PURGED = ("study_uid", "rule", "files", "bytes")
_FOUND = ("kind", "path", "study_uid", "sop_instance_uid", "done")


@app.command("show", epilog="Example: wetread storage show.")
def show_storage(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what lies in the data folder, and what would be removed now."""
    settings = load(config)
    database, archive = node_database(settings), Archive(settings.node.data_dir)
    with database.read() as connection:
        shown = overview.kept(connection)
    shown |= {name: _usage(archive, folder) for name, folder in _FOLDERS.items()}
    shown["disk"] = {
        "free_bytes": free_bytes(settings.node.data_dir),
        "purge_below_bytes": settings.storage.purge_megabytes * MEGABYTE,
        "refuse_below_bytes": settings.node.free_megabytes * MEGABYTE,
    }
    shown["may_go"] = _may_go(settings, database)
    if as_json:
        show_json(shown)
        return
    for name, counts in shown.items():
        typer.echo(f"{name.replace('_', ' '):<10} {_line(counts)}")


@app.command("purge", epilog="Example: wetread storage purge --dry-run.")
def purge_storage(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
) -> None:
    """Remove now what the settings do not want kept."""
    settings = load(config)
    database = node_database(settings)
    rows = _would_go(settings, database) if dry_run else _purge(settings, database)
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _PURGED, "nothing may go")


@app.command("verify", epilog="Example: wetread storage verify --mend.")
def verify_storage(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    mend: Annotated[bool, typer.Option("--mend", help="Also mend what can be mended.")] = False,
) -> None:
    """Look at every row and every file, and name those that do not fit; exit code 1 if any is left.

    The node may be at work meanwhile. Files younger than an hour are left out.
    """
    from scp.adoption import adoptable

    settings = load(config)
    log.configure(settings.log, "cli", lasting=False)
    # As a role does: after a restore it runs before the roles.
    database, archive = open_database(settings), Archive(settings.node.data_dir)
    adopt = partial(adoptable, archive)
    quiet = settings.study.quiet_seconds["default"]
    rows = []
    retention.recover(database, archive)
    for each in orphans.find(database, archive):
        done = orphans.mend(database, archive, each, adopt, quiet) if mend else None
        rows.append({**vars(each), "kind": each.kind.value, "done": done})
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _FOUND, "every row has its file, and every file its row")
    if any(each["done"] in (None, orphans.NOT_MENDED) for each in rows):
        raise typer.Exit(Exit.FAILED)


def _purge(settings: Settings, database: Database) -> list[dict[str, Any]]:
    with command_trail(settings) as trail:
        removed = open_retention(settings, database, trail, by_hand=True).run_once(
            threading.Event()
        )
    return [
        {
            "study_uid": each.study_uid,
            "rule": each.rule.value,
            "files": len(each.paths),
            "bytes": each.size,
        }
        for each in removed
    ]


def _would_go(settings: Settings, database: Database) -> list[dict[str, Any]]:
    """What a purge would remove; of a study that two rules name, by the first."""
    policy, rows = settings.storage.policy(), dict[tuple[str, bool], dict[str, Any]]()
    rules: dict[Rule, float] = dict(policy.rules)
    missing = round(policy.mark_bytes * retention.RECOVERED) - free_bytes(settings.node.data_dir)
    if free_bytes(settings.node.data_dir) < policy.mark_bytes:
        rules[Rule.DISK] = 0.0
    for rule, days in rules.items():
        for each in retention.candidates(database, rule, days):
            if rule is Rule.DISK and missing <= 0:
                break
            row = {
                "study_uid": each.study_uid,
                "rule": rule.value,
                "files": each.files,
                "bytes": each.size,
            }
            if rows.setdefault((each.study_uid, rule is Rule.FORGOTTEN), row) is row:
                missing -= each.size
    return list(rows.values())


def _may_go(settings: Settings, database: Database) -> dict[str, int]:
    rows = _would_go(settings, database)
    return {
        "studies": len({each["study_uid"] for each in rows}),
        "files": sum(each["files"] for each in rows),
        "bytes": sum(each["bytes"] for each in rows),
    }


def _usage(archive: Archive, folder: str) -> dict[str, int]:
    files, size = archive.usage(folder)
    return {"files": files, "bytes": size}


def _line(counts: dict[str, int]) -> str:
    return ", ".join(
        f"{shown_size(count)} {name.removesuffix('bytes').replace('_', ' ')}".strip()
        if name.endswith("bytes")
        else f"{count} {name}"
        for name, count in counts.items()
    )
