"""The command ``wetread``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from db.errors import NotFound, StoreError
from wetread.cli import (
    commitments,
    config,
    deliveries,
    health,
    jobs,
    models,
    network,
    pausing,
    run_roles,
    status,
    storage,
    studies,
    training,
    users,
)
from wetread.cli.output import Exit
from wetread.config import ConfigError
from wetread.log import silence_libraries
from wetread.version import version

app = typer.Typer(
    name="wetread",
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
run_roles.register(app)
network.register(app)
status.register(app)
health.register(app)
pausing.register(app)
training.register(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(studies.app, name="studies")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(commitments.app, name="commitments")
app.add_typer(storage.app, name="storage")
app.add_typer(models.app, name="models")
app.add_typer(users.app, name="users")
app.add_typer(config.app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wetread {version()}")
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
    except NotFound as error:
        _leave(str(error), Exit.NOT_FOUND)
    except ConfigError as error:
        _leave(str(error), Exit.CONFIG)
    except StoreError as error:
        _leave(str(error), Exit.FAILED)
    except SQLAlchemyError as error:
        # Without the statement and its values, which the full text holds.
        cause = getattr(error, "orig", None) or type(error).__name__
        _leave(f"the database does not answer: {cause}".strip(), Exit.FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"{place}{error.strerror or type(error).__name__}", Exit.FAILED)


def _leave(message: str, code: Exit) -> None:
    sys.stderr.write(f"wetread: {message}\n")
    sys.exit(code)
