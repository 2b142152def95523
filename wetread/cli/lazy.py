"""Commands whose modules are imported when they are called: the help names them without that."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Lazy(NamedTuple):
    """A command or a group of commands.

    Attributes
    ----------
    module
        It has the function ``register(app)`` that adds the command, or the group as ``app``.
    help
        Its first sentence, which the list of commands shows.
    """

    module: str
    help: str


class LazyGroup(TyperGroup):
    """A group whose commands stand in ``lazy``, in this order, before those that were added."""

    lazy: dict[str, Lazy] = {}  # noqa: RUF012 - each subclass has its own
    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; where only its name and help are wanted, no more than that."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        if self._listing:
            return TyperCommand(cmd_name, help=self.lazy[cmd_name].help)
        return _load(cmd_name, self.lazy[cmd_name])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing a command."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Names that begin like this, for the shell."""
        self._listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._listing = False


def _load(name: str, lazy: Lazy) -> Any:
    module = importlib.import_module(lazy.module)
    if hasattr(module, "register"):
        single = typer.Typer()
        module.register(single)
        return typer.main.get_group(single).commands[name]
    group = typer.main.get_group(module.app)
    group.name = name
    return group
