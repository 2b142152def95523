"""``wetread config``: the settings file."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from wetread import certificates
from wetread.cli.output import ConfigOption, Exit, JsonOption, show_json
from wetread.config import Settings, load
from wetread.listeners import listeners
from wetread.origin import DEFAULT_FILE, find_file
from wetread.sections import Destination
from wetread.template import TEMPLATE
from wetread.trails import audit_places

app = typer.Typer(no_args_is_help=True, help="The settings: init, check, passcode.")


@app.command("init", epilog="Example: wetread config init /etc/wetread/wetread.toml.")
def init(
    target: Annotated[
        Path | None, typer.Argument(help=f"Where to write it; else -c, else ./{DEFAULT_FILE}.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write a commented settings file that states the defaults; never overwrites one."""
    file = target or config or Path(DEFAULT_FILE)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(TEMPLATE)
    except FileExistsError as error:
        sys.stderr.write(f"wetread: {file} exists and is left as it is\n")
        raise typer.Exit(Exit.FAILED) from error
    except OSError as error:
        sys.stderr.write(f"wetread: {file}: cannot be written: {error.strerror}\n")
        raise typer.Exit(Exit.FAILED) from error
    typer.echo(f"wrote {file}")


@app.command("check", epilog="Example: wetread config check -c /etc/wetread/wetread.toml.")
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Judge the settings, each error by file, key and what is allowed; shows those in force."""
    settings = load(config)
    _judge(settings)
    if as_json:
        shown = settings.model_dump(mode="json")
        shown["database"]["url"] = make_url(settings.database.url).render_as_string()
        show_json(shown)
        return
    file = find_file(config)
    typer.echo(f"{file or 'no settings file; defaults'}: ok")
    for each in listeners(settings):
        kind = " (TLS)" if each.secured else ""
        typer.echo(f"listens as {settings.node.ae_title} on {settings.node.host}:{each.port}{kind}")
    for peer in settings.peer:
        typer.echo(f"takes from {peer.name}: {peer.ae_title}")
    typer.echo(f"data in {settings.node.data_dir}")
    for destination in settings.destination:
        kind = " (TLS)" if destination.tls else ""
        address = f"{destination.ae_title}@{destination.host}:{destination.port}{kind}"
        typer.echo(f"results to {destination.name}: {destination.url or address}")
    if not settings.destination:
        typer.echo("results go nowhere: no [[destination]]")
    for place in audit_places(settings):
        typer.echo(f"audit trail to {place}")


def _judge(settings: Settings) -> None:
    judged = certificates.all_files(settings)
    for files in judged:
        certificates.check(files)
        if certificates.exposed(files):
            _warn(f"{files.key}: every user of this machine may read this private key")
    for file in certificates.names(judged):
        end = certificates.end(file)
        if (end - datetime.now(UTC)).days < certificates.WARN_DAYS:
            _warn(f"{file}: expires on {end:%Y-%m-%d}")
    for destination in settings.destination:
        _judge_secret(destination)
    for name in _clear_passcodes(settings):
        _warn(f"peer {name}: its passcode can come by the plain port, where others can read it")
    if not audit_places(settings):
        _warn("no audit trail is kept: [audit] has neither file nor syslog_host")
    if not settings.peer:
        _warn(f"no [[peer]] is listed: everyone who calls {settings.node.ae_title} may send")


def _judge_secret(destination: Destination) -> None:
    from wetread.peers import web_peer

    if not destination.secret_file:
        return
    web_peer(destination)
    if certificates.readable_by_all(destination.secret_file):
        _warn(f"{destination.secret_file}: every user of this machine may read this secret")
    if not destination.secured:
        _warn(f"destination {destination.name}: others can read its secret on the way (http)")


def _clear_passcodes(settings: Settings) -> list[str]:
    """Peers whose passcode may cross the network for everyone to read."""
    if all(each.secured for each in listeners(settings)):
        return []
    return [
        each.name
        for each in settings.peer
        if each.passcode_hash.get_secret_value() and not each.certificate
    ]


def _warn(text: str) -> None:
    sys.stderr.write(f"wetread: warning: {text}\n")


@app.command("passcode", epilog="Example: wetread config passcode.")
def passcode() -> None:
    """Ask for a passcode and print its hash, for the passcode_hash of a peer."""
    from scp.passcode import hashed

    if sys.stdin.isatty():
        given = typer.prompt("Passcode", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        sys.stderr.write("wetread: an empty passcode is none\n")
        raise typer.Exit(Exit.FAILED)
    typer.echo(hashed(given.encode("utf-8")))
