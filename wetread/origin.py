"""Where settings come from: one file, and environment variables over it.

It imports nothing but Python's own library: ``wetread.cli.quick`` is done before other modules
would be loaded.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path

DEFAULT_FILE = "wetread.toml"
ENVIRONMENT_FILE = "WETREAD_CONFIG"
SUPERVISED = "WETREAD_SUPERVISED"
PREFIX, DELIMITER = "WETREAD_", "__"
DATA_DIR = "wetread-data"
"""The data folder if the settings name no other."""

_NO_SETTINGS = (ENVIRONMENT_FILE, SUPERVISED)


class ConfigError(Exception):
    """The settings cannot be used; the message names file, key and what is allowed."""


def find_file(given: Path | None) -> Path | None:
    """Settings file to use: the one given, else ``$WETREAD_CONFIG``, else ``./wetread.toml``.

    Raises
    ------
    ConfigError
        A file was named and does not exist.
    """
    named = given or (
        Path(os.environ[ENVIRONMENT_FILE]) if ENVIRONMENT_FILE in os.environ else None
    )
    if named is None:
        default = Path(DEFAULT_FILE)
        return default if default.is_file() else None
    if not named.is_file():
        raise ConfigError(f"{named}: no such file; 'wetread config init {named}' writes one")
    return named


class Origin:
    """A file's content, what the environment adds, and the folder that paths are relative to.

    Parameters
    ----------
    given
        Settings file; None to look for it.

    Raises
    ------
    ConfigError
        It is not there, cannot be read, or is no TOML.
    """

    def __init__(self, given: Path | None) -> None:
        self.file = find_file(given)
        self.folder = self.file.parent.resolve() if self.file else Path.cwd()
        try:
            self._text = self.file.read_text("utf-8") if self.file else ""
            self.content = tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.file}: not valid TOML: {error}") from error
        except OSError as error:
            raise ConfigError(f"{self.file}: cannot be read: {error.strerror}") from error

    def fingerprint(self) -> str:
        """The same for two processes just if they have the same settings."""
        added = sorted(
            (name, value)
            for name, value in os.environ.items()
            if name.upper().startswith(PREFIX) and name not in _NO_SETTINGS
        )
        return hashlib.sha256(repr((str(self.folder), self._text, added)).encode()).hexdigest()

    def data_dir(self) -> Path | None:
        """The data folder; None if only ``wetread.config`` can tell."""
        variables = {name.upper(): value for name, value in os.environ.items()}
        section = self.content.get("node", {})
        if f"{PREFIX}NODE" in variables or not isinstance(section, dict):
            return None
        name = variables.get(f"{PREFIX}NODE{DELIMITER}DATA_DIR", section.get("data_dir", DATA_DIR))
        return self.folder / name if isinstance(name, str) else None
