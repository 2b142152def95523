"""Refuses options that no phantom can be made of, in words that say what can be given."""

from __future__ import annotations

from typing import Any, get_args


def check_seed(seed: int) -> None:
    """Raise ValueError for a negative seed."""
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")


def check_word(name: str, value: str, known: Any) -> None:
    """Raise ValueError for a value that is none of a ``Literal``'s words."""
    if value not in get_args(known):
        raise ValueError(f"{name} is {value!r}; give {', '.join(get_args(known))}")


def check_number(name: str, value: int, sizes: range) -> None:
    """Raise ValueError for a number outside a range."""
    if value not in sizes:
        raise ValueError(f"{name} is {value}; give {sizes.start} to {sizes.stop - 1}")
