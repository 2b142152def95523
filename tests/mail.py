"""Letters for tests of the outbox."""

from __future__ import annotations

from collections.abc import Sequence

from db.outbox import Letter, StoredResult


def letters(destination: str, results: Sequence[StoredResult]) -> list[Letter]:
    """Address every result to a destination; objects of a kind and number are its forms."""
    keys = dict.fromkeys((each.kind, each.number) for each in results)
    return [
        Letter(
            destination=destination,
            kind=kind,
            number=number,
            forms=tuple(
                each.sop_instance_uid
                for each in results
                if (each.kind, each.number) == (kind, number)
            ),
        )
        for kind, number in keys
    ]
