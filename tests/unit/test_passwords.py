"""Passwords of accounts."""

from __future__ import annotations

import pytest

from wetread.passwords import hashed, matches


def test_a_password_matches_its_hash_alone() -> None:
    stored = hashed("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert matches("correct horse battery", stored)
    assert not matches("correct horse batterz", stored)
    assert hashed("correct horse battery") != stored


@pytest.mark.parametrize("stored", [None, "", "no hash", "$argon2id$v=19$broken"])
def test_nothing_matches_what_is_no_hash(stored: str | None) -> None:
    assert not matches("", stored)
    assert not matches("correct horse battery", stored)


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 257])
def test_a_password_is_neither_short_nor_endless(password: str) -> None:
    with pytest.raises(ValueError, match="a password has 12 to 256 characters"):
        hashed(password)
