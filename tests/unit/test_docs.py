"""What is documented is what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from db.schema import DELIVERY_MOVES, JOB_MOVES, DeliveryState, JobState
from scp.status import StoreStatus
from sr.identity import SERIES_NUMBERS
from wetread.cli.main import COMMANDS, app
from wetread.cli.output import Exit
from wetread.origin import ENVIRONMENT_FILE
from wetread.template import TEMPLATE

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def commands(group: Any = None, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every command of the CLI as it is typed, without ``wetread``."""
    group = group or typer.main.get_command(app)
    if not hasattr(group, "list_commands"):
        return {" ".join(path): group}
    found: dict[str, Any] = {}
    for name in group.list_commands(None):
        found |= commands(group.get_command(None, name), (*path, name))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_wetread_command_in_the_documents_exists(page: Path) -> None:
    known = commands()
    text = page.read_text("utf-8")
    typed = re.findall(r"(?:^|`)wetread ([a-z]+(?:\|[a-z]+)*)(?: ([a-z]+))?", text, re.MULTILINE)
    for first, second in typed:
        for verb in first.split("|"):
            assert verb in known or f"{verb} {second}" in known, f"wetread {verb} {second}"


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    group: Any = typer.main.get_command(app)
    for name, lazy in COMMANDS.items():
        help_text = " ".join(group.get_command(None, name).help.split())
        assert help_text.startswith(lazy.help.removesuffix(".")), name


def test_every_command_has_a_help_an_example_and_names_the_settings_file() -> None:
    for name, command in commands().items():
        assert command.help, name
        assert f"wetread {name}" in command.epilog, name
        options = {
            option: getattr(each, "help", "") for each in command.params for option in each.opts
        }
        if name not in ("config passcode", "train", "evaluate"):
            assert f"${ENVIRONMENT_FILE}" in options["--config"], name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_in_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Makefile"], ids=lambda page: page.name)
def test_every_file_and_target_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    rooms = "scp|db|inference|sr|delivery|training|wetread|tools|bench|tests|docs"
    for named in re.findall(rf"`((?:{rooms})/[\w./-]*)`", text):
        assert (ROOT / named).exists(), named
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for target in re.findall(r"`?make ([a-z]+)", text):
        assert target in targets, target


def test_the_settings_page_shows_the_file_that_init_writes() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", read("docs/settings.md"), re.DOTALL)
    assert shown == TEMPLATE
    tomllib.loads(shown)


def test_the_exit_codes_are_listed() -> None:
    listed = re.findall(r"^\| (\d) \| ([A-Z_]+) \|", read("docs/operating.md"), re.MULTILINE)
    assert [(int(code), name) for code, name in listed] == [(each, each.name) for each in Exit]


def test_the_statuses_are_listed_with_their_meaning() -> None:
    page = read("docs/receiving.md")
    listed = re.findall(r"^\| ([0-9A-F]{4}) \| ([A-Z_]+) \|", page, re.MULTILINE)
    expected = [(f"{each:04X}", each.name) for each in StoreStatus]
    assert listed == expected
    source = read("scp/status.py")
    for meaning in re.findall(r"^\| [0-9A-F]{4} \| [A-Z_]+ \| (.*) \|$", page, re.MULTILINE):
        assert f'"""{meaning}"""' in source


def test_the_states_are_listed() -> None:
    operating, architecture = read("docs/operating.md"), read("ARCHITECTURE.md")
    listed = re.findall(r"^\| ([a-z]+) \| (?!look)", operating, re.MULTILINE)
    assert set(JobState) <= set(listed)
    for state in [*JobState, *DeliveryState]:
        assert re.search(rf"\b{state}\b", architecture), state
    assert set(JOB_MOVES) == set(JobState)
    assert set(DELIVERY_MOVES) == set(DeliveryState)


def test_the_series_are_listed() -> None:
    listed = re.findall(r"^\| (\d+) `AI [a-z]+: ...` \| `([a-z]+)`", read("docs/results.md"), re.M)
    assert [(int(number), kind) for number, kind in listed] == [
        (number, kind.value) for kind, number in SERIES_NUMBERS.items()
    ]


def test_the_readme_opens_with_the_job_the_picture_and_the_two_commands() -> None:
    opening = read("README.md")[:1500]
    assert (
        opening.index("# wetread") < opening.index("docs/viewer.png") < opening.index("make demo")
    )
    assert opening.index("make demo") < opening.index("make test")
    assert (ROOT / "docs/viewer.png").stat().st_size > 10_000


def test_compose_accepts_its_file() -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed: apt-get install docker-compose")
    done = subprocess.run(
        [program, "-f", ROOT / "docker-compose.yml", "config", "--services"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {
        "postgres", "receive", "work", "deliver", "tidy", "web", "orthanc",
    }  # fmt: skip


def test_the_image_copies_every_room_that_is_packaged() -> None:
    packages = tomllib.loads(read("pyproject.toml"))
    wheel = packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (\w+) \1$", read("Dockerfile"), re.MULTILINE)
    assert copied == sorted(wheel, key=copied.index)
