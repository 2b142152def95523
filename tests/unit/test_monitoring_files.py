"""The alert rules and the dashboard: they work, and ask for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.meters import HISTOGRAMS
from wetread.metrics.families import PREFIX, documented

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "wetread.json"


def exposed() -> set[str]:
    """Names of all time series."""
    parts = ("_bucket", "_sum", "_count")
    return {each.name for each in documented()} | {
        f"{PREFIX}{each.name}{part}" for each in HISTOGRAMS for part in parts
    }


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text("utf-8"))


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (each["expr"] for each in panel.get("targets", ()))
    for variable in dashboard()["templating"]["list"]:
        yield str(variable.get("definition", ""))


def alerts() -> str:
    return (RULES / "alerts.yml").read_text("utf-8")


@pytest.mark.parametrize("arguments", [
    ("check", "config", "prometheus.yml"),
    ("check", "rules", "alerts.yml"),
    ("test", "rules", "alerts_test.yml"),
    ("test", "rules", "drift_test.yml"),
], ids=" ".join)  # fmt: skip
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", *arguments], cwd=RULES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_ask_for_metrics_that_are_exposed() -> None:
    asked = set(re.findall(r"wetread_\w+", alerts()))
    assert asked
    assert asked <= exposed()


def test_every_alert_is_tested_and_documented() -> None:
    names = re.findall(r"- alert: (\w+)", alerts())
    tests = "".join(file.read_text("utf-8") for file in RULES.glob("*_test.yml"))
    for name in names:
        assert re.search(rf"alertname: {name}\n\s+exp_alerts:\n", tests), f"{name} never fires"
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    assert re.findall(r"^\| `(Wetread\w+)` \|", page, re.MULTILINE) == names


def test_the_dashboard_asks_for_metrics_that_are_exposed() -> None:
    asked = {name for each in expressions() for name in re.findall(r"wetread_\w+", each)}
    assert asked <= exposed()
    # And it shows all of them, each in some form.
    for metric in documented():
        assert any(name.startswith(metric.name) for name in asked), metric.name


def test_prometheus_understands_every_question_of_the_dashboard(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    rules = [
        {"record": f"asked:{number}", "expr": re.sub(r"\$__rate_interval", "1m", each)}
        for number, each in enumerate(expressions())
        if each and not each.startswith("label_values")
    ]
    file = tmp_path / "asked.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}), "utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_provisioned() -> None:
    """It names no data source of its own, and no two panels lie on each other."""
    found = dashboard()
    (source, *_) = found["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == (
        "datasource", "datasource", "prometheus",
    )  # fmt: skip
    assert found["id"] is None
    cells: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= taken
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_page_lists_every_metric() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    listed = re.findall(r"^\| `(wetread_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page, re.MULTILINE)
    assert listed == [
        (each.name, each.kind, ", ".join(each.labels) or "-", each.meaning) for each in documented()
    ]
