"""``wetread up|receive|work|deliver|tidy|web``: the processes of a node."""

from __future__ import annotations

import sys
import threading

import typer

from wetread.cli.output import ConfigOption, Exit
from wetread.config import load
from wetread.origin import find_file


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up", epilog="Example: wetread up -c /etc/wetread/wetread.toml.")(up)
    app.command("receive", epilog="Example: wetread receive -c /etc/wetread/wetread.toml.")(receive)
    app.command("work", epilog="Example: wetread work -c /etc/wetread/wetread.toml.")(work)
    app.command("deliver", epilog="Example: wetread deliver -c /etc/wetread/wetread.toml.")(deliver)
    app.command("tidy", epilog="Example: wetread tidy -c /etc/wetread/wetread.toml.")(tidy)
    app.command("web", epilog="Example: wetread web -c /etc/wetread/wetread.toml.")(web)


def up(config: ConfigOption = None) -> None:
    """Start all roles under one supervisor; prints "ready" once associations are accepted.

    A role that dies is started again. SIGTERM or Ctrl-C stops all: the work at hand is finished.
    """
    from wetread.roles import stop_on_signals
    from wetread.supervisor import StartError, Supervisor

    settings = load(config)
    file = find_file(config)
    stop = threading.Event()
    stop_on_signals(stop)
    try:
        Supervisor(settings, file.absolute() if file else None).run(stop)
    except StartError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(error.exit_code if error.exit_code > 0 else Exit.FAILED) from error


def receive(config: ConfigOption = None) -> None:
    """Run one receiver: C-ECHO, C-STORE and storage commitment SCP."""
    from scp.server import ListenError

    try:
        _run("receive", config)
    except ListenError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.FAILED) from error


def work(config: ConfigOption = None) -> None:
    """Run one worker: reads due studies with the models that fit them."""
    from inference.errors import ReadingError

    try:
        _run("work", config)
    except ReadingError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.CONFIG) from error


def deliver(config: ConfigOption = None) -> None:
    """Run one courier: takes results to every destination, and reports storage commitment."""
    _run("deliver", config)


def tidy(config: ConfigOption = None) -> None:
    """Remove what the settings do not want kept, as long as it runs; see 'wetread storage'."""
    _run("tidy", config)


def web(config: ConfigOption = None) -> None:
    """Serve the dashboard; 'wetread users add' says who may see it."""
    from wetread.web.serving import AddressError

    try:
        _run("web", config)
    except AddressError as error:
        sys.stderr.write(f"wetread: {error}\n")
        raise typer.Exit(Exit.FAILED) from error


def _run(role: str, config: ConfigOption) -> None:
    from wetread import roles

    roles.run(role, load(config))
