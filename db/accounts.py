"""Who may look at the dashboard, and how often a wrong password was given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, RowMapping, case, delete, select, update

from db.engine import insert_ignoring, now
from db.errors import IllegalMove, NotFound
from db.schema import Account, Session

_FREE_FAILURES = 5
_LONGEST_WAIT_SECONDS = 300.0

FORGET_SECONDS = 3600.0
"""Wrong passwords count no longer when none came for so long."""

NO_PASSWORD = ""
"""In place of a hash: nobody gets in by a password, but a proxy may say that it is them."""


class Role(StrEnum):
    """What an account may do."""

    VIEWER = "viewer"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Known:
    """An account; times are seconds since 1970.

    Attributes
    ----------
    name, role
        Who, and what they may do.
    password_hash
        As argon2id writes it, or ``NO_PASSWORD``.
    wait_seconds
        So long no password is looked at, because too many were wrong.
    """

    name: str
    role: Role
    password_hash: str
    created_at: float
    changed_at: float
    wait_seconds: float


def add(connection: Connection, name: str, role: Role, password_hash: str) -> None:
    """Make an account.

    Raises
    ------
    IllegalMove
        There is one of this name.
    """
    moment = now(connection)
    values = {
        "name": name,
        "role": str(role),
        "password_hash": password_hash,
        "created_at": moment,
        "changed_at": moment,
        "failures": 0,
    }
    if insert_ignoring(connection, Account, values) is None:
        raise IllegalMove(f"there is an account {name} already")


def listed(connection: Connection) -> list[Known]:
    """All accounts by name."""
    moment = now(connection)
    rows = connection.execute(select(*Account.__table__.columns).order_by(Account.name))
    return [_known(row, moment) for row in rows.mappings()]


def find(connection: Connection, name: str) -> Known | None:
    """An account; None if there is none of this name."""
    rows = connection.execute(select(*Account.__table__.columns).where(Account.name == name))
    row = rows.mappings().one_or_none()
    return None if row is None else _known(row, now(connection))


def set_password(connection: Connection, name: str, password_hash: str) -> None:
    """Change a password; whoever is logged in as this account is so no longer.

    Raises
    ------
    NotFound
        There is no such account.
    """
    changed = update(Account).where(Account.name == name)
    values = {"password_hash": password_hash, "changed_at": now(connection), "failures": 0}
    if not connection.execute(changed.values(values)).rowcount:
        raise NotFound(f"there is no account {name}")
    connection.execute(delete(Session).where(Session.account == name))


def remove(connection: Connection, name: str) -> None:
    """Remove an account and end its sessions.

    Raises
    ------
    NotFound
        There is no such account.
    """
    if not connection.execute(delete(Account).where(Account.name == name)).rowcount:
        raise NotFound(f"there is no account {name}")
    connection.execute(delete(Session).where(Session.account == name))


def failed(connection: Connection, name: str) -> None:
    """Count a wrong password; nothing happens if there is no such account."""
    moment = now(connection)
    counted = case((Account.failed_at < moment - FORGET_SECONDS, 1), else_=Account.failures + 1)
    connection.execute(
        update(Account).where(Account.name == name).values(failures=counted, failed_at=moment)
    )


def succeeded(connection: Connection, name: str) -> None:
    """Forget the wrong passwords: a right one was given."""
    connection.execute(
        update(Account).where(Account.name == name, Account.failures > 0).values(failures=0)
    )


def wait_after(failures: int, seconds_ago: float) -> float:
    """How long no password is looked at: doubles from the sixth wrong one on, to five minutes."""
    if failures < _FREE_FAILURES:
        return 0.0
    wait = min(_LONGEST_WAIT_SECONDS, 2.0 ** min(failures - _FREE_FAILURES, 30))
    return max(0.0, wait - seconds_ago)


def _known(row: RowMapping, moment: float) -> Known:
    return Known(
        name=row["name"],
        role=Role(row["role"]),
        password_hash=row["password_hash"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        wait_seconds=wait_after(row["failures"], moment - (row["failed_at"] or 0.0)),
    )
