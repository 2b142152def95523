"""Passcodes of user identities: kept as salted scrypt hashes, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import threading

# 16 MB and some 50 ms for each guess (RFC 7914).
_LOG2_COST, _BLOCK, _PARALLEL = 14, 8, 1
_SALT_BYTES = _HASH_BYTES = 32
_FORM = re.compile(r"scrypt\$(\d{2})\$(\d{1,2})\$(\d)\$([\w+/]{43}=)\$([\w+/]{43}=)", re.ASCII)
# Many guesses at once would take the memory of the node; one at a time takes 16 MB.
_ONE_AT_A_TIME = threading.Lock()


def hashed(passcode: bytes) -> str:
    """Hash a passcode with a new salt: ``scrypt$cost$block$parallel$salt$hash``."""
    salt = os.urandom(_SALT_BYTES)
    digest = _digest(passcode, salt, _LOG2_COST, _BLOCK, _PARALLEL)
    numbers = f"{_LOG2_COST}${_BLOCK}${_PARALLEL}"
    return f"scrypt${numbers}${_text(salt)}${_text(digest)}"


def checked(stored: str) -> str:
    """Return the text if it is a hash as ``hashed`` makes it.

    Raises
    ------
    ValueError
        It is not; the message does not quote it, for it may be a passcode.
    """
    _parse(stored)
    return stored


def matches(passcode: bytes, stored: str) -> bool:
    """Whether this is the passcode whose hash is stored."""
    cost, block, parallel, salt, digest = _parse(stored)
    return hmac.compare_digest(_digest(passcode, salt, cost, block, parallel), digest)


def _parse(stored: str) -> tuple[int, int, int, bytes, bytes]:
    match = _FORM.fullmatch(stored)
    message = "must be a hash as 'wetread config passcode' prints it"
    if match is None:
        raise ValueError(message)
    cost, block, parallel = (int(match[group]) for group in (1, 2, 3))
    if not (10 <= cost <= 17 and 1 <= block <= 16 and 1 <= parallel <= 4):
        raise ValueError(message)
    try:
        salt, digest = (base64.b64decode(match[group], validate=True) for group in (4, 5))
    except binascii.Error as error:
        raise ValueError(message) from error
    return cost, block, parallel, salt, digest


def _digest(passcode: bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    with _ONE_AT_A_TIME:
        return hashlib.scrypt(
            passcode,
            salt=salt,
            n=1 << cost,
            r=block,
            p=parallel,
            dklen=_HASH_BYTES,
            maxmem=2 * 128 * (1 << cost) * block + (1 << 20),
        )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
