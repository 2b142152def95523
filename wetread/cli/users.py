"""``wetread users``: who may see the dashboard, and who may do something there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from sqlalchemy import Connection

from db import accounts
from db.accounts import NO_PASSWORD, Role
from db.stats import iso
from wetread.cli.node_database import node_database
from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json, show_table
from wetread.config import load
from wetread.trails import command_trail

app = typer.Typer(
    no_args_is_help=True,
    help="Accounts of the dashboard: add, list, remove, password. "
    "A viewer sees everything but the audit trail; an admin may also retry, cancel and pause.",
)

_COLUMNS = ("name", "role", "password", "created_at", "changed_at")


def _checked(name: str) -> str:
    if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():
        raise typer.BadParameter("has 1 to 64 printable characters, and no space at its ends")
    return name


Name = Annotated[str, typer.Argument(callback=_checked, help="The account's name.")]


@app.command("add", epilog="Example: wetread users add ann --role admin.")
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    no_password: Annotated[
        bool,
        typer.Option(
            "--no-password", help='For login = "header" alone: the proxy knows the password.'
        ),
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account; its password is asked for, or read from standard input.

    Example: wetread users add alice --role admin
    """
    stored = NO_PASSWORD if no_password else _asked_password()

    def change(connection: Connection) -> None:
        accounts.add(connection, name, role, stored)

    _change(config, name, f"account of the dashboard added, as {role}", change)
    _tell(f"account {name} may log in as {role}", name, as_json)


@app.command("list", epilog="Example: wetread users list --json.")
def list_users(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the accounts.

    Example: wetread users list --json
    """
    with node_database(load(config), make=True).read() as connection:
        rows = [
            {
                "name": each.name,
                "role": str(each.role),
                "password": each.password_hash != NO_PASSWORD,
                "created_at": iso(each.created_at),
                "changed_at": iso(each.changed_at),
            }
            for each in accounts.listed(connection)
        ]
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _COLUMNS, "no accounts; 'wetread users add NAME' makes one")


@app.command("remove", epilog="Example: wetread users remove ann.")
def remove(name: Name, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Remove an account and end its sessions.

    Example: wetread users remove alice
    """
    _change(
        config,
        name,
        "account of the dashboard removed",
        lambda connection: accounts.remove(connection, name),
    )
    _tell(f"account {name} is removed", name, as_json)


@app.command("password", epilog="Example: wetread users password ann.")
def password(name: Name, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Change a password and end the account's sessions.

    Example: wetread users password alice
    """
    stored = _asked_password()
    _change(
        config,
        name,
        "password of an account of the dashboard changed",
        lambda connection: accounts.set_password(connection, name, stored),
    )
    _tell(f"account {name} has another password", name, as_json)


def _change(
    config: ConfigOption, name: str, what: str, change: Callable[[Connection], None]
) -> None:
    settings = load(config)
    database = node_database(settings, make=True)
    with command_trail(settings) as trail:
        with database.write() as connection:
            change(connection)
        trail.admin_action(f"{what}: {name}", "wetread:users")


def _asked_password() -> str:
    from wetread.passwords import hashed

    if sys.stdin.isatty():
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    try:
        return hashed(given)
    except ValueError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.FAILED) from error


def _tell(text: str, name: str, as_json: bool) -> None:
    if as_json:
        show_json({"name": name})
    else:
        typer.echo(text)
