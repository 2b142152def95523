"""What the documents show can be typed, and what they quote is said by the program."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.text import Text

from wetread.cli.main import app
from wetread.config import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What they show is tested elsewhere: a model package, a recipe, settings that only fit together.
ELSEWHERE = {"models.md", "training.md", "security.md"}
ROOMS = ("scp", "db", "dimse", "delivery", "inference", "audit", "sr", "training", "wetread")
# What has the form of an event of the log, and is none.
FILES = {"toml", "onnx", "json", "xml", "xml*", "md", "db", "pem", "key", "log", "service"}


def blocks(language: str) -> list[Any]:
    """Every code block of a language, of all pages."""
    return [
        pytest.param(page, block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, block in enumerate(
            re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S), 1
        )
    ]


@pytest.mark.parametrize(("page", "block"), blocks("toml"))
def test_settings_that_are_shown_are_settings(page: Path, block: str) -> None:
    shown = tomllib.loads(block)
    if page.name not in ELSEWHERE:
        Settings(**shown)


@pytest.mark.parametrize(("page", "block"), blocks("json"))
def test_json_that_is_shown_can_be_read(page: Path, block: str) -> None:
    assert json.loads(block), page


@pytest.mark.parametrize(("page", "block"), blocks("sh"))
def test_shell_that_is_shown_can_be_typed(page: Path, block: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (page, done.stderr)


def typed_commands(page: Path) -> list[str]:
    """What follows ``wetread`` wherever a page lets one type it: in its blocks and its lines."""
    text = page.read_text("utf-8")
    code = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.S))
    lines = re.findall(
        r"^(?:.* -- |.* exec \w+ )?wetread ((?:[a-z]+|--).*)$", code.replace("\\\n", " "), re.M
    )
    return [*lines, *re.findall(r"`wetread ([^`|]+)`", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_is_shown_is_one(page: Path) -> None:
    for line in typed_commands(page):
        group: Any = typer.main.get_command(app)
        for word in shlex.split(line, comments=True):
            if word in names_of(group):
                group = group.get_command(None, word)
            elif word in {"|", "||", "&&", ";", ">"}:
                break
            elif word.startswith("-") and word != "-":
                known = {
                    option for each in group.params for option in (*each.opts, *each.secondary_opts)
                }
                assert word.partition("=")[0] in known | {"--help"}, f"wetread {line}"


def test_the_times_that_the_console_page_states_are_the_defaults() -> None:
    page = (ROOT / "docs/console.md").read_text("utf-8")
    study = Settings().study
    quiet = study.quiet_seconds
    assert quiet["CR"] == quiet["DX"]
    assert f"{quiet['CR']:g} seconds for CR and DX, {quiet['default']:g} for others" in page
    assert study.release_seconds == 1
    assert "released and a second has passed" in page


def every_command(group: Any) -> Iterator[Any]:
    yield group
    for name in names_of(group):
        yield from every_command(group.get_command(None, name))


def names_of(group: Any) -> list[str]:
    """The commands of a group; none of a command."""
    return list(group.list_commands(None)) if hasattr(group, "list_commands") else []


def test_no_help_loses_words_to_markup() -> None:
    for command in every_command(typer.main.get_command(app)):
        texts = [command.help, command.epilog, *(getattr(p, "help", "") for p in command.params)]
        for text in filter(None, texts):
            assert Text.from_markup(text).plain == text


@cache
def said() -> list[str]:
    """Every text in the code; what is filled in at run time parts them."""
    texts: list[str] = []
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.extend(re.split(r"\{\w+\}", node.value))
    return texts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_event_of_the_log_that_is_named_is_one(page: Path) -> None:
    for event in re.findall(r"`([a-z]+\.[a-z_*]+)`", page.read_text("utf-8")):
        room, _, last = event.rpartition(".")
        if last not in FILES:
            assert event in said() or f"{room}." in said(), event


def test_every_message_that_is_quoted_is_said_by_the_program() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    quoted = re.findall(r'"([^"\n]+)"', re.sub(r"```.*?```", "", page, flags=re.S))
    assert len(quoted) > 30
    for message in quoted:
        for part in filter(None, message.split("...")):
            assert any(part in text for text in said()), message
