"""Accounts and sessions, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from db import accounts, sessions
from db.accounts import FORGET_SECONDS, NO_PASSWORD, Role, wait_after
from db.engine import Database
from db.errors import IllegalMove, NotFound
from db.schema import Account, Session


def add(database: Database, name: str = "alice", role: Role = Role.ADMIN) -> None:
    with database.write() as connection:
        accounts.add(connection, name, role, "hash")


def begin(database: Database, name: str = "alice") -> str:
    with database.write() as connection:
        return sessions.begin(connection, name)


def whose(database: Database, token: str) -> str | None:
    with database.read() as connection:
        found = sessions.visitor(connection, token)
    return found[0].account if found else None


def age(database: Database, column: str, seconds: float) -> None:
    with database.write() as connection:
        moved = getattr(Session, column) - seconds
        connection.execute(update(Session).values({column: moved}))


def test_an_account_is_made_once_and_listed_by_name(database: Database) -> None:
    add(database)
    add(database, "Bob", Role.VIEWER)
    with pytest.raises(IllegalMove, match="there is an account alice already"):
        add(database)
    with database.read() as connection:
        listed = accounts.listed(connection)
    assert sorted((each.name, each.role) for each in listed) == [
        ("Bob", Role.VIEWER),
        ("alice", Role.ADMIN),
    ]
    assert all(each.wait_seconds == 0 for each in listed)


def test_nobody_is_found_who_is_not_there(database: Database) -> None:
    with database.write() as connection:
        assert accounts.find(connection, "nobody") is None
        with pytest.raises(NotFound, match="nobody"):
            accounts.set_password(connection, "nobody", "hash")
        with pytest.raises(NotFound, match="nobody"):
            accounts.remove(connection, "nobody")
        accounts.failed(connection, "nobody")
        accounts.succeeded(connection, "nobody")


def test_a_session_is_its_owners(database: Database) -> None:
    add(database)
    token, other = begin(database), begin(database)
    assert token != other
    assert whose(database, token) == whose(database, other) == "alice"
    assert whose(database, token + "x") is None
    assert whose(database, "\udcff") is None
    with database.write() as connection:
        sessions.end(connection, token)
    assert whose(database, token) is None
    assert whose(database, other) == "alice"


def test_the_token_itself_is_not_stored(database: Database) -> None:
    add(database)
    token = begin(database)
    with database.read() as connection:
        row = connection.execute(select(Session)).one()
    assert token not in list(row._mapping.values())
    assert len(row.token_hash) == 64


@pytest.mark.parametrize(
    ("column", "limit"),
    [("seen_at", sessions.IDLE_SECONDS), ("created_at", sessions.LONGEST_SECONDS)],
)
def test_a_session_ends_by_itself(database: Database, column: str, limit: float) -> None:
    add(database)
    token = begin(database)
    age(database, column, limit - 60)
    assert whose(database, token) == "alice"
    age(database, column, 61)
    assert whose(database, token) is None
    begin(database)
    with database.read() as connection:  # and is forgotten when the next one begins
        assert len(connection.execute(select(Session)).all()) == 1


def test_a_session_that_is_used_goes_on(database: Database) -> None:
    add(database)
    token = begin(database)
    age(database, "seen_at", sessions.IDLE_SECONDS - 60)
    with database.write() as connection:
        assert sessions.visitor(connection, token) is not None
        sessions.note(connection, token)
    age(database, "seen_at", sessions.IDLE_SECONDS - 60)
    assert whose(database, token) == "alice"


@pytest.mark.parametrize("how", ["password", "remove"])
def test_sessions_end_with_the_password_and_with_the_account(database: Database, how: str) -> None:
    add(database)
    add(database, "bob")
    token, other = begin(database), begin(database, "bob")
    with database.write() as connection:
        if how == "password":
            accounts.set_password(connection, "alice", "another")
        else:
            accounts.remove(connection, "alice")
    assert whose(database, token) is None
    assert whose(database, other) == "bob"


def test_a_session_has_the_role_that_the_account_has_now(database: Database) -> None:
    add(database)
    token = begin(database)
    with database.write() as connection:
        connection.execute(update(Account).values(role="viewer"))
        found = sessions.visitor(connection, token)
    assert found is not None
    assert found[0].role is Role.VIEWER


def test_wrong_passwords_make_one_wait_until_a_right_one(database: Database) -> None:
    add(database)

    def wait(*, failures: int = 0) -> float:
        with database.write() as connection:
            for _ in range(failures):
                accounts.failed(connection, "alice")
            found = accounts.find(connection, "alice")
        assert found is not None
        return found.wait_seconds

    assert wait(failures=4) == 0
    assert 0 < wait(failures=4) <= 8
    with database.write() as connection:
        accounts.succeeded(connection, "alice")
    assert wait() == 0
    assert wait(failures=40) > 200
    with database.write() as connection:
        connection.execute(update(Account).values(failed_at=Account.failed_at - FORGET_SECONDS - 1))
    assert wait(failures=1) == 0


def test_the_wait_doubles_and_has_an_end() -> None:
    assert [wait_after(count, 0) for count in (4, 5, 6, 7)] == [0, 1, 2, 4]
    assert wait_after(1000, 0) == 300
    assert wait_after(7, 3) == 1
    assert wait_after(7, 5) == 0


def test_an_account_without_a_password_is_known(database: Database) -> None:
    with database.write() as connection:
        accounts.add(connection, "carol", Role.VIEWER, NO_PASSWORD)
        found = accounts.find(connection, "carol")
    assert found is not None
    assert found.password_hash == NO_PASSWORD
