"""Passwords of accounts: kept as argon2id hashes, and looked at one at a time."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
"""Characters that a password must have at least."""

LONGEST = 256

_hasher = PasswordHasher()  # argon2id with the second parameter set of RFC 9106: 64 MB a guess
_one_at_a_time = threading.Lock()  # many guesses at once would take the memory of the node
_NOBODYS = _hasher.hash("")


def hashed(password: str) -> str:
    """Hash a password with a new salt.

    Raises
    ------
    ValueError
        It is too short or too long; the message does not quote it.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has {SHORTEST} to {LONGEST} characters")
    with _one_at_a_time:
        return _hasher.hash(password)


def matches(password: str, stored: str | None) -> bool:
    """Whether this is the password whose hash is stored.

    None or an empty hash takes as long as any other and matches nothing, so that nobody learns
    which accounts there are.
    """
    with _one_at_a_time:
        try:
            _hasher.verify(stored or _NOBODYS, password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
    return bool(stored)
