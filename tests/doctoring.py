"""What tests of ``wetread doctor`` share: findings of a settings file, and how to plant a fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import update

from db.engine import Database
from db.schema import Process
from wetread.config import load
from wetread.doctor.checks import CHECKS
from wetread.doctor.examination import Examined, chosen, examine
from wetread.doctor.finding import Finding, Verdict
from wetread.doctor.surroundings import Surroundings


def look(file: Path, *only: str, **surroundings: Any) -> list[Examined]:
    """What checks and those that they need find with a settings file."""
    around = Surroundings(settings=load(file), file=file, **surroundings)
    return list(examine(chosen(CHECKS, only, ()), around))


def of(examined: list[Examined], check: str) -> list[Finding]:
    """Findings of one check."""
    return [each.finding for each in examined if each.check.name == check]


def failures(examined: list[Examined]) -> list[Finding]:
    """What failed."""
    return [each.finding for each in examined if each.finding.verdict is Verdict.FAILED]


def fault(examined: list[Examined]) -> tuple[str, str]:
    """What was found and what to do, where one thing failed."""
    (found,) = failures(examined)
    assert found.remedy
    return found.found, found.remedy


def worries(examined: list[Examined], check: str) -> list[Finding]:
    """Warnings of one check."""
    return [each for each in of(examined, check) if each.verdict is Verdict.WARNING]


def settings(folder: Path, text: str = "", **node: object) -> Path:
    """Write a settings file that nobody but its owner may read."""
    file = folder / "wetread.toml"
    lines = [f"{name} = {_toml(value)}" for name, value in node.items()]
    file.write_text("\n".join(["[node]", *lines, text]), "utf-8")
    file.chmod(0o600)
    return file


def _toml(value: object) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


@contextmanager
def altered(file: Path, *edits: tuple[str, str]) -> Iterator[Path]:
    """A copy of a settings file beside it, with texts changed."""
    text = file.read_text("utf-8")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    copy = file.with_name("altered.toml")
    copy.write_text(text, "utf-8")
    copy.chmod(0o600)
    try:
        yield copy
    finally:
        copy.unlink()


def let_time_pass(database: Database, role: str, seconds: float) -> None:
    """Make it so long ago that processes of a role were heard of."""
    with database.write() as connection:
        connection.execute(
            update(Process).where(Process.role == role).values(seen_at=Process.seen_at - seconds)
        )
