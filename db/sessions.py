"""Who is logged in: the browser has a token, and here is its SHA-256 alone."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, or_, select, update

from db.accounts import Role
from db.engine import now
from db.schema import Account, Session

IDLE_SECONDS = 1800.0
"""A session that nobody uses for so long is over."""

LONGEST_SECONDS = 43_200.0
"""And so is every other after this."""

_NOTE_SECONDS = 60.0  # how exactly it is noted when a session was last used
_TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Somebody who is logged in.

    Attributes
    ----------
    account, role
        Who, and what they may do now.
    csrf
        What each form of theirs must bring along, so that nobody else's does anything.
    """

    account: str
    role: Role
    csrf: str


def begin(connection: Connection, account: str) -> str:
    """Log in; sessions that are over are forgotten.

    Returns
    -------
    str
        The token, for the browser alone.
    """
    moment, token = now(connection), secrets.token_urlsafe(_TOKEN_BYTES)
    over = or_(
        Session.seen_at < moment - IDLE_SECONDS, Session.created_at < moment - LONGEST_SECONDS
    )
    connection.execute(delete(Session).where(over))
    connection.execute(
        insert(Session).values(
            token_hash=_hash(token),
            account=account,
            csrf=secrets.token_urlsafe(_TOKEN_BYTES),
            created_at=moment,
            seen_at=moment,
        )
    )
    return token


def visitor(connection: Connection, token: str) -> tuple[Visitor, bool] | None:
    """Whose token it is, and whether it is time to note that it is used; None if nobody's."""
    row = connection.execute(
        select(Session.account, Account.role, Session.csrf, Session.seen_at, Session.created_at)
        .join(Account, Account.name == Session.account)
        .where(Session.token_hash == _hash(token))
    ).one_or_none()
    moment = now(connection)
    if row is None or row.seen_at < moment - IDLE_SECONDS:
        return None
    if row.created_at < moment - LONGEST_SECONDS:
        return None
    found = Visitor(account=row.account, role=Role(row.role), csrf=row.csrf)
    return found, row.seen_at < moment - _NOTE_SECONDS


def note(connection: Connection, token: str) -> None:
    """Note that a session is used, so that it goes on."""
    used = update(Session).where(Session.token_hash == _hash(token))
    connection.execute(used.values(seen_at=now(connection)))


def end(connection: Connection, token: str) -> None:
    """Log out."""
    connection.execute(delete(Session).where(Session.token_hash == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
