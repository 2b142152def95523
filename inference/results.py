"""From a reading to objects in the archive, and letters that address them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from db.archive import Archive
from db.outbox import Letter, StoredResult
from inference.addressing import Profile, by_style
from inference.errors import ArchiveError
from sr.bundle import ResultObject, build_results
from sr.document import to_bytes
from sr.findings import Reading
from sr.identity import Kind

_KEPT = Profile(destination="")


@dataclass(frozen=True)
class Made:
    """An object and the name of its style."""

    result: ResultObject
    style: str

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return str(self.result.dataset.SOPInstanceUID)


def build(
    profiles: Sequence[Profile],
    sources: Sequence[Dataset],
    pictures: Mapping[str, NDArray[np.uint8]],
    reading: Reading,
    when: datetime,
    predecessors: Callable[[str], Sequence[Dataset]],
) -> tuple[list[Made], list[Letter]]:
    """Build what the destinations want, each style once.

    Parameters
    ----------
    profiles
        Of the destinations that get this reading; without any, the default set is made and kept.
    sources, pictures, reading, when
        See ``sr.bundle.build_results``.
    predecessors
        Gives the reports that those of a style (its name) replace.

    Returns
    -------
    tuple
        The objects, and letters to the destinations.
    """
    made: list[Made] = []
    letters: list[Letter] = []
    for style, group in by_style(profiles or [_KEPT]):
        results = build_results(
            sources,
            pictures,
            reading,
            when=when,
            kinds={kind for each in group for kind in each.kinds},
            style=style,
            predecessors=predecessors(style.key),
        )
        made += [Made(each, style.key) for each in results.objects]
        for profile in group:
            letters += profile.letters(results.objects)
    return made, letters if profiles else []


def store(
    archive: Archive, path_of: Callable[[str], str], objects: Iterable[Made]
) -> list[StoredResult]:
    """Write objects to the archive, each UID once.

    Parameters
    ----------
    archive
        Where to.
    path_of
        Gives the path for a SOP Instance UID.
    objects
        What to write. The text report may be there a second time, as the last form of the
        measurement report; it is recorded as what it is.

    Raises
    ------
    ArchiveError
        The disk is full or refuses.
    """
    unique: dict[str, Made] = {}
    for each in objects:
        if each.uid not in unique or each.result.kind is not Kind.REPORT:
            unique[each.uid] = each
    return [
        _stored(archive, path_of(each.uid), each, rank) for rank, each in _ranked(unique.values())
    ]


def _ranked(objects: Iterable[Made]) -> Iterator[tuple[int, Made]]:
    """Count the objects of equal kind and number, through all styles."""
    counts: dict[tuple[Kind, int], int] = {}
    for each in objects:
        key = each.result.kind, each.result.number
        counts[key] = counts.get(key, -1) + 1
        yield counts[key], each


def _stored(archive: Archive, path: str, made: Made, rank: int) -> StoredResult:
    dataset = made.result.dataset
    try:
        size = archive.write(path, [to_bytes(dataset)])
    except OSError as error:
        raise ArchiveError(f"results cannot be written: {error.strerror}") from error
    return StoredResult(
        kind=made.result.kind.value,
        number=made.result.number,
        rank=rank,
        style=made.style,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=made.uid,
        path=path,
        size=size,
    )
