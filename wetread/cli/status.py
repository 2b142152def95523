"""``wetread status``: the disk, how much waits, who is away, and when certificates run out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer

from db import overview
from db.overview import Stored
from db.schema import EVERYTHING
from scp.disk import MEGABYTE, free_bytes
from wetread import certificates
from wetread.cli.output import ConfigOption, JsonOption, show_json
from wetread.config import Settings, load
from wetread.roles import open_database

_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the disk and how long it lasts, jobs by state, pauses, destinations, certificates."""
    settings = load(config)
    with open_database(settings).read() as connection:
        disk = _disk(settings, overview.stored(connection))
        counts = {
            "jobs": overview.jobs(connection),
            "deliveries": overview.deliveries(connection),
            "commitments": overview.commitments(connection),
        }
        paused = overview.paused(connection)
        places = overview.destinations(connection, [each.name for each in settings.destination])
    expiries = _certificates(settings)
    if as_json:
        further = {"paused": paused, "destinations": places, "certificates": expiries}
        show_json({"disk": disk, **counts, **further})
        return
    typer.echo(f"disk         {_disk_line(disk)}")
    typer.echo(f"archive      {disk['instances']} instances, {shown_size(disk['archive_bytes'])}")
    typer.echo(f"results      {shown_size(disk['result_bytes'])}")
    typer.echo(f"received     {shown_size(disk['received_bytes_per_hour'])} per hour")
    typer.echo(f"time left    {_time_left(disk['hours_left'])}")
    for name, states in counts.items():
        shown = ", ".join(f"{count} {state}" for state, count in states.items() if count)
        typer.echo(f"{name:<12} {shown or 'none'}")
    for each in paused:
        typer.echo(f"{'paused':<12} {_paused_line(each)}")
    for each in places:
        typer.echo(f"{'destination':<12} {_destination_line(each)}")
    for each in expiries:
        typer.echo(f"{'certificate':<12} {_certificate_line(each)}")


def _disk(settings: Settings, stored: Stored) -> dict[str, Any]:
    mark = settings.node.free_megabytes * MEGABYTE
    free = free_bytes(settings.node.data_dir)
    hours_left = None
    if stored.bytes_per_hour:
        hours_left = round(max(0, free - mark) / stored.bytes_per_hour, 1)
    return {
        "state": "off" if not mark else "low" if free < mark else "ok",
        "free_bytes": free,
        "mark_bytes": mark,
        "instances": stored.instances,
        "archive_bytes": stored.instance_bytes,
        "result_bytes": stored.result_bytes,
        "received_bytes_per_hour": round(stored.bytes_per_hour),
        "hours_left": hours_left,
    }


def _certificates(settings: Settings) -> list[dict[str, Any]]:
    found = certificates.ends(certificates.all_files(settings))
    now = datetime.now(UTC)
    return [
        {"file": file, "not_after": end.isoformat(), "days_left": (end - now).days}
        for file, end in found.items()
    ]


def _certificate_line(certificate: dict[str, Any]) -> str:
    days = certificate["days_left"]
    if days < 0:
        return f"{certificate['file']}: EXPIRED on {certificate['not_after'][:10]}"
    warned = "EXPIRES" if days < certificates.WARN_DAYS else "expires"
    return f"{certificate['file']}: {warned} on {certificate['not_after'][:10]}, in {days} days"


def _paused_line(pause: dict[str, Any]) -> str:
    name = "all models" if pause["name"] == EVERYTHING else pause["name"]
    return f"{name} since {pause['since']}" + (f" ({pause['reason']})" if pause["reason"] else "")


def _destination_line(place: dict[str, Any]) -> str:
    line = f"{place['name']}: "
    if place["state"] == "away":
        line += f"AWAY since {place['away_since']} ({place['reason']})"
    elif place["state"] == "unknown":
        line += "NOT IN THE SETTINGS, so nobody takes what waits for it"
    else:
        line += "ok"
    if place["waiting"]:
        line += f"; {place['waiting']} wait"
    if place["held"]:
        line += f"; {place['held']} HELD: the patient may be another one, see 'wetread jobs list"
        line += " --delivery held'"
    if place["uncommitted"]:
        line += f"; {place['uncommitted']} sent and not committed yet"
    return line


def _disk_line(disk: dict[str, Any]) -> str:
    free, mark = shown_size(disk["free_bytes"]), shown_size(disk["mark_bytes"])
    if disk["state"] == "off":
        return f"{free} free; images are taken until it is full"
    if disk["state"] == "low":
        return f"{free} free: LOW, images are refused below {mark}"
    return f"{free} free; images are refused below {mark}"


def shown_size(count: float) -> str:
    """A number of bytes, for people to read."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def _time_left(hours: float | None) -> str:
    if hours is None:
        return "nothing was received within 24 hours"
    if hours < 48:
        return f"{hours:.1f} hours at this rate"
    return f"{hours / 24:.0f} days at this rate"
