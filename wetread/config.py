"""Reads the settings: one TOML file, then environment variables over it.

``WETREAD_NODE__PORT=104`` stands for ``port`` in ``[node]``. Relative paths are relative to the
folder of the file (without a file, to the working directory), so every command finds the same
data wherever it is called.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from scp.gate import PeerGate
from wetread.origin import DELIMITER, PREFIX, ConfigError, Origin
from wetread.sections import (
    AuditSection,
    DatabaseSection,
    Delivery,
    Destination,
    Log,
    Metrics,
    Models,
    Node,
    PeerSection,
    Storage,
    Study,
    TlsSection,
    Web,
    Worker,
)


class Settings(BaseSettings):
    """All settings, checked and frozen."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, extra="forbid", frozen=True
    )

    node: Node = Node()
    tls: TlsSection = TlsSection()
    peer: list[PeerSection] = []
    database: DatabaseSection = DatabaseSection()
    study: Study = Study()
    worker: Worker = Worker()
    delivery: Delivery = Delivery()
    storage: Storage = Storage()
    models: Models = Models()
    log: Log = Log()
    audit: AuditSection = AuditSection()
    web: Web = Web()
    metrics: Metrics = Metrics()
    destination: list[Destination] = []

    _fingerprint: str = PrivateAttr("")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file (the file's content comes as arguments)."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _names_differ(self) -> Settings:
        names = [each.name for each in self.destination]
        if len(set(names)) != len(names):
            raise ValueError("destination: two destinations have the same name")
        return self

    @model_validator(mode="after")
    def _peers_differ(self) -> Settings:
        names = [each.name for each in self.peer]
        if len(set(names)) != len(names):
            raise ValueError("peer: two peers have the same name")
        try:
            self.gate()
        except ValueError as error:
            raise ValueError(f"peer: {error}") from error
        return self

    @model_validator(mode="after")
    def _purged_before_refused(self) -> Settings:
        purge, refuse = self.storage.purge_megabytes, self.node.free_megabytes
        if 0 < purge <= refuse:
            raise ValueError(
                f"storage.purge_megabytes: must be more than node.free_megabytes ({refuse}), "
                "or images are refused first"
            )
        return self

    @model_validator(mode="after")
    def _tls_fits(self) -> Settings:
        if self.tls.certificate and not self.tls.require and self.tls.port == self.node.port:
            raise ValueError("tls.port: must differ from node.port, or require = true")
        bound = [each.name for each in self.peer if each.certificate]
        if bound and not self.tls.ca:
            raise ValueError(
                f"tls.ca: peer {bound[0]!r} must show a certificate; name the file of its CA"
            )
        return self

    @property
    def fingerprint(self) -> str:
        """That of where they come from (``Origin.fingerprint``)."""
        return self._fingerprint

    def roles(self) -> list[str]:
        """The roles of a node with these settings, each as often as 'wetread up' starts it."""
        names = ["receive"] * self.node.receivers + ["work"] * self.worker.processes
        if self.destination or any(each.host for each in self.peer):
            names.append("deliver")
        if self.storage.policy().removes:
            names.append("tidy")
        if self.web.enabled:
            names.append("web")
        return names

    def database_file(self) -> Path | None:
        """The file of a SQLite database; None for a server."""
        url = self.database.url
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None

    def install_folder(self) -> Path:
        """Where 'wetread models install' puts packages."""
        return (*self.models.folders, self.node.data_dir / "models")[0]

    def model_folders(self) -> list[Path]:
        """Where packages are looked for, besides our own."""
        installed = self.node.data_dir / "models"
        known = list(self.models.folders)
        return [*known, installed] if installed.is_dir() and installed not in known else known

    def log_file(self) -> Path | None:
        """The file that roles write their log to, if there is to be one."""
        return self.node.data_dir / self.log.file if self.log.file else None

    def gate(self) -> PeerGate:
        """The gate of a receiver with these settings."""
        ours = self.node.ae_title
        return PeerGate(ours, [each.rule(ours) for each in self.peer])


def load(given: Path | None = None) -> Settings:
    """Read and check the settings.

    Raises
    ------
    ConfigError
        The file is missing, no TOML, or holds a key or value that is not allowed.
    """
    origin = Origin(given)
    _check_environment()
    try:
        settings = _resolved(Settings(**origin.content), origin.folder)
    except ValidationError as error:
        raise ConfigError(_explain(error, origin.file, origin.content)) from error
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}; a section or list is given as JSON, one value of a section "
            f"as {PREFIX}NODE{DELIMITER}PORT=104"
        ) from error
    settings._fingerprint = origin.fingerprint()
    return settings


def _check_environment() -> None:
    """Refuse variables that look like ours and name no section: they would be ignored."""
    for name in sorted(os.environ):
        rest = name.upper().removeprefix(PREFIX)
        section, delimiter, _ = rest.partition(DELIMITER)
        looks_so = delimiter or section.split("_")[0].lower() in Settings.model_fields
        ours = name.upper().startswith(PREFIX) and looks_so
        if ours and section.lower() not in Settings.model_fields:
            raise ConfigError(f"environment: {name}: no such section; see 'wetread config init'")


def _resolved(settings: Settings, folder: Path) -> Settings:
    """Make every path absolute."""
    data_dir = folder / settings.node.data_dir
    url = settings.database.url or f"sqlite:///{data_dir / 'wetread.db'}"
    if url.startswith("sqlite:///"):
        url = f"sqlite:///{folder / url.removeprefix('sqlite:///')}"
    folders = [folder / each for each in settings.models.folders]

    def files(section: TlsSection | AuditSection | Web | Metrics | Destination) -> dict[str, str]:
        names = ("certificate", "key", "ca", "secret_file", "token_file")
        given = {each: str(getattr(section, each, "")) for each in names}
        return {each: str(folder / path) for each, path in given.items() if path}

    return settings.model_copy(
        update={
            "node": settings.node.model_copy(update={"data_dir": data_dir}),
            "database": settings.database.model_copy(update={"url": url}),
            "models": settings.models.model_copy(update={"folders": folders}),
            "audit": settings.audit.model_copy(update=files(settings.audit)),
            "tls": settings.tls.model_copy(update=files(settings.tls)),
            "web": settings.web.model_copy(update=files(settings.web)),
            "metrics": settings.metrics.model_copy(update=files(settings.metrics)),
            "destination": [each.model_copy(update=files(each)) for each in settings.destination],
        }
    )


def _explain(error: ValidationError, file: Path | None, content: dict[str, Any]) -> str:
    lines = []
    for problem in error.errors():
        path = problem["loc"]
        key = ".".join(str(part) for part in path) or "settings"
        source = _source(path, file, content)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "no such setting; see 'wetread config init'"
        lines.append(f"{source}: {key}: {message}")
    return "\n".join(lines)


def _source(path: tuple[int | str, ...], file: Path | None, content: dict[str, Any]) -> str:
    """Where a wrong value came from; the environment goes over the file."""
    variables = {name.upper() for name in os.environ}
    names = [str(part).upper() for part in path]
    parts = [PREFIX + DELIMITER.join(names[: count + 1]) for count in range(len(names))]
    variable = next((each for each in reversed(parts) if each in variables), None)
    if variable is not None:
        return f"environment variable {variable}"
    return str(file) if file is not None and _holds(content, path) else "environment"


def _holds(content: Any, path: tuple[int | str, ...]) -> bool:
    """Whether a key (or, for a missing key, its section) stands in the file."""
    for part in path[:-1] or path:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
