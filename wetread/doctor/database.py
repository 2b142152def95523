"""The database: whether it answers, has the right schema, and what time it thinks it is."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from db import migrate, processes
from db.engine import now
from db.errors import SchemaError, StoreError
from db.schema import Instance
from wetread.doctor.finding import Finding, Verdict, failed, ok, warning
from wetread.doctor.surroundings import Surroundings

_SLOW_SECONDS = 0.1
_SKEW_SECONDS, _FAR_SECONDS = 1.0, 60.0


def reachable(surroundings: Surroundings) -> Iterator[Finding]:
    """Open it and ask it something."""
    file = surroundings.settings.database_file()
    if file is not None and not file.is_file():
        yield failed(
            "database", f"{file}: there is none yet", "start the node once: 'wetread up' makes it"
        )
        return
    kind = "PostgreSQL" if file is None else "SQLite"
    try:
        with surroundings.reading() as connection:
            started = time.perf_counter()
            connection.execute(text("select 1")).one()
            seconds = time.perf_counter() - started
    except (SQLAlchemyError, StoreError) as error:
        # Its own text may quote the URL, which may hold a password.
        kind_of = type(getattr(error, "orig", None) or error).__name__
        yield failed(
            "database",
            f"{kind} does not answer ({kind_of})",
            "start the server, and compare [database] url with it: host, port, name, user, "
            "password, pg_hba.conf"
            if file is None
            else f"let the user of the node own {file} and its folder",
        )
        return
    if seconds > _SLOW_SECONDS:
        yield warning(
            "database",
            f"{kind} answers after {seconds * 1000:.0f} ms",
            "bring the database nearer, or find out what keeps it busy",
        )
    else:
        yield ok("database", f"{kind} answers after {seconds * 1000:.1f} ms")


def schema(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare its revision with the one of this program."""
    with surroundings.reading() as connection:
        found = migrate.revision(connection)
        newer = ""
        try:
            migrate.refuse_newer(connection)
        except SchemaError as error:
            newer = str(error)
    wanted = migrate.revisions()[-1]
    if newer:
        what, _, remedy = newer.partition("; ")
        yield failed("schema", what, remedy)
    elif found is None:
        yield failed("schema", "the database is empty", "start the node: 'wetread up' fills it")
    elif found != wanted:
        yield failed(
            "schema",
            f"the database has schema {found}, this version needs {wanted}",
            "stop the roles of the older version, back the database up, and start 'wetread up' of "
            "this one: it brings the schema up to date",
        )
    else:
        yield ok("schema", f"{found}, as this version needs it")


def clock(surroundings: Surroundings) -> Iterator[Finding]:
    """Compare this host's clock, and those of all processes, with the database's."""
    with surroundings.reading() as connection:
        before = time.time()
        moment = now(connection)
        offset = (before + time.time()) / 2 - moment
        newest = connection.execute(select(func.max(Instance.received_at))).scalar_one()
        running = [each for each in processes.seen(connection) if not each.silent]
    if surroundings.settings.database_file() is None:
        yield _skew("this host", offset)
    if newest is not None and newest > moment + _SKEW_SECONDS:
        yield failed(
            "past",
            f"the newest image was received {newest - moment:.0f} s in the future: the clock was "
            "set back since",
            "set the clock by NTP (chrony, systemd-timesyncd), and never by hand",
        )
    told = [_skew(f"{each.role} on {each.host}, pid {each.pid}", each.details["clock_offset"])
            for each in running if "clock_offset" in each.details]  # fmt: skip
    yield from (each for each in told if each.verdict is not Verdict.OK)
    agreeing = sum(each.verdict is Verdict.OK for each in told)
    yield ok("processes", f"{agreeing} of {len(told)} that run agree with the database's clock")


def _skew(subject: str, offset: float) -> Finding:
    found = f"{abs(offset):.3f} s {'ahead of' if offset > 0 else 'behind'} the database's clock"
    remedy = "set the clocks of both hosts by NTP (chrony, systemd-timesyncd) from one source"
    if abs(offset) > _FAR_SECONDS:
        return failed(subject, f"{found}: reports and audit trail bear wrong times", remedy)
    if abs(offset) > _SKEW_SECONDS:
        return warning(subject, found, remedy)
    return ok(subject, found)
