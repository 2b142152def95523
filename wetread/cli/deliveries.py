"""``wetread deliveries``: results on their way to destinations."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from db import delivery_stats, outbox
from db.schema import DeliveryState
from db.stats import PAGE
from wetread.cli.node_database import node_database
from wetread.cli.options import (
    BeforeOption,
    LimitOption,
    SinceOption,
    YesOption,
    confirm,
    for_each,
    tell_more,
)
from wetread.cli.output import ConfigOption, JsonOption, show_json, show_table
from wetread.config import load
from wetread.trails import command_trail

app = typer.Typer(no_args_is_help=True, help="Results on their way to destinations: list, retry.")

_COLUMNS = (
    "id",
    "state",
    "destination",
    "kind",
    "job_id",
    "study_uid",
    "attempts",
    "created_at",
    "sent_at",
    "commitment",
    "reason",
)
_MANY = 10_000

DestinationOption = Annotated[
    str | None, typer.Option("--destination", help="Only those to this destination.")
]


@app.command(
    "list",
    epilog="Examples: wetread deliveries list --state dead --since 1d. "
    "wetread deliveries list --destination pacs --limit 50 --before 4711.",
)
def list_deliveries(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those in this state.")] = None,
    destination: DestinationOption = None,
    since: SinceOption = None,
    before: BeforeOption = None,
    limit: LimitOption = PAGE,
) -> None:
    """List deliveries, newest first: each result on its way to each destination."""
    with node_database(load(config)).read() as connection:
        rows = delivery_stats.listed(
            connection,
            state=state,
            destination=destination,
            since=since,
            before=before,
            limit=limit,
        )
    if as_json:
        show_json(rows)
    else:
        show_table(rows, _COLUMNS, "no deliveries")
        tell_more(rows, limit, "id")


@app.command(
    "retry",
    epilog="Examples: wetread deliveries retry 4711 4712. "
    "wetread deliveries retry --state dead --destination pacs --since 1d --yes.",
)
def retry_deliveries(
    delivery_ids: Annotated[
        list[int] | None,
        typer.Argument(min=1, max=2**31 - 1, help="Ids of deliveries; none: as options say."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[
        DeliveryState | None, typer.Option(help="Instead of ids: all in this state.")
    ] = None,
    destination: DestinationOption = None,
    since: SinceOption = None,
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Without asking the destination whose study it has."),
    ] = False,
    yes: YesOption = False,
) -> None:
    """Send dead, refused or held deliveries once more."""
    settings = load(config)
    if bool(delivery_ids) == (state is not None):
        raise typer.BadParameter("name either ids or --state")
    database = node_database(settings)
    ids = delivery_ids or []
    if state is not None:
        with database.read() as connection:
            rows = delivery_stats.listed(
                connection, state=state, destination=destination, since=since, limit=_MANY
            )
        if rows:
            confirm(f"retry {len(rows)} deliveries that are {state}?", yes=yes)
        ids = [row["id"] for row in reversed(rows)]
    with command_trail(settings) as trail:

        def act(delivery_id: int) -> dict[str, Any]:
            with database.write() as connection:
                outbox.retry_one(connection, delivery_id, unchecked=unchecked)
                row = delivery_stats.shown(connection, delivery_id)
            what = "to be sent again" + (" without the patient check" if unchecked else "")
            trail.admin_action(
                f"delivery {delivery_id} to {row['destination']} {what}",
                f"wetread:delivery:{delivery_id}",
                row["study_uid"],
            )
            return row

        for_each(ids, act, partial(_tell, as_json=as_json))


def _tell(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        show_json(rows)
        return
    for row in rows:
        typer.echo(f"delivery {row['id']} is {row['state']}")
    if not rows:
        typer.echo("no deliveries")
