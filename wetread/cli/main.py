"""The command ``wetread``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from db.errors import NotFound, StoreError
from wetread.cli.lazy import Lazy, LazyGroup
from wetread.cli.output import Exit
from wetread.quiet import silence_libraries

COMMANDS = {
    "up": Lazy("wetread.cli.run_roles", "Start all roles under one supervisor."),
    "receive": Lazy("wetread.cli.run_roles", "Run one receiver."),
    "work": Lazy("wetread.cli.run_roles", "Run one worker."),
    "deliver": Lazy("wetread.cli.run_roles", "Run one courier."),
    "tidy": Lazy("wetread.cli.run_roles", "Remove what the settings do not want kept."),
    "web": Lazy("wetread.cli.run_roles", "Serve the dashboard."),
    "status": Lazy("wetread.cli.status", "Show the node on one screen."),
    "doctor": Lazy(
        "wetread.cli.doctor", "Look at settings, database, disk, processes, models and network."
    ),
    "health": Lazy("wetread.cli.health", "Say whether a role runs on this host."),
    "logs": Lazy("wetread.cli.logs", "Show what the roles wrote to the log file."),
    "pause": Lazy("wetread.cli.pausing", "Begin no job on any host."),
    "resume": Lazy("wetread.cli.pausing", "Go on with the jobs."),
    "drain": Lazy("wetread.cli.pausing", "Pause, and wait until nothing is being read."),
    "jobs": Lazy("wetread.cli.jobs", "The queue: list, show, watch, urgent, retry, cancel."),
    "studies": Lazy("wetread.cli.studies", "The studies received: list, show, route."),
    "deliveries": Lazy(
        "wetread.cli.deliveries", "Results on their way to destinations: list, retry."
    ),
    "commitments": Lazy("wetread.cli.commitments", "Storage commitment: list, show, retry."),
    "models": Lazy(
        "wetread.cli.models",
        "The model packages: list, check, test, install, pause, resume, disable, enable.",
    ),
    "storage": Lazy("wetread.cli.storage", "The data folder: show, purge, verify."),
    "users": Lazy("wetread.cli.users", "Accounts of the dashboard: add, list, remove, password."),
    "config": Lazy("wetread.cli.config", "The settings: init, check, passcode."),
    "echo": Lazy("wetread.cli.network", "Verify a peer."),
    "send": Lazy("wetread.cli.network", "Send files with C-STORE."),
    "simulate": Lazy(
        "wetread.cli.simulate", "Send synthetic chest radiographs and head CTs, marked as tests."
    ),
    "train": Lazy("wetread.cli.training", "Train a model from a recipe."),
    "evaluate": Lazy("wetread.cli.training", "Judge a model package."),
}


class _Commands(LazyGroup):
    lazy = COMMANDS


app = typer.Typer(
    name="wetread",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "A DICOM node that reads studies with ONNX models and sends Structured Reports and "
        "overlays back to the PACS. AI here screens; the physician decides."
    ),
    epilog="Exit codes: 0 success, 1 failed, 2 wrong usage, 3 settings or model package unusable, "
    "4 no such job, study, delivery, model or commitment.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from wetread.version import VERSION

        typer.echo(f"wetread {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line; expected errors become one message and an exit code."""
    silence_libraries()
    os.umask(0o077)  # archive, database and settings hold patient data and passwords
    try:
        app(prog_name="wetread")
    except SystemExit:
        raise  # before Python asks below what the slow imports would catch
    except NotFound as error:
        _leave(str(error), Exit.NOT_FOUND)
    except StoreError as error:
        _leave(str(error), Exit.FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"{place}{error.strerror or type(error).__name__}", Exit.FAILED)
    # Asked for only when something was raised: what these come from is slow to import.
    except _config_error() as error:
        _leave(str(error), Exit.CONFIG)
    except _database_error() as error:
        # Without the statement and its values, which the full text holds.
        cause = getattr(error, "orig", None) or type(error).__name__
        _leave(f"the database does not answer: {cause}".strip(), Exit.FAILED)


def _config_error() -> type[Exception]:
    from wetread.origin import ConfigError

    return ConfigError


def _database_error() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError


def _leave(message: str, code: Exit) -> None:
    sys.stderr.write(f"wetread: {message}\n")
    sys.exit(code)
