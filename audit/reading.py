"""Reads messages back from the file that ``audit.file`` writes, the latest first."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_BLOCK = 65_536
# The messages that we write hold none; a file that somebody else wrote into must not cost us.
_DECLARATION = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Told:
    """A message, in the words that a list needs.

    Attributes
    ----------
    at
        When, as it was written (xsd:dateTime).
    event, kind
        What happened, and which kind of it; ``kind`` may be empty.
    outcome
        "0", "4", "8" or "12" (PS3.15 A.5.2).
    who, where
        Who took part, the requestor first, and from which addresses.
    studies
        Study Instance UIDs.
    description
        What was done, or why it failed.
    """

    at: str
    event: str
    kind: str
    outcome: str
    who: tuple[str, ...]
    where: tuple[str, ...]
    studies: tuple[str, ...]
    description: str


def latest(path: Path, most_bytes: int) -> Iterator[Told]:
    """Messages at the end of a file, the last first; what is no message is passed over.

    Parameters
    ----------
    path
        The file.
    most_bytes
        How far back to look.

    Raises
    ------
    OSError
        It cannot be read.
    """
    for line in _lines(path, most_bytes):
        told = _told(line)
        if told is not None:
            yield told


def _lines(path: Path, most_bytes: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        stop = max(0, end - most_bytes)
        rest = b""
        while end > stop:
            start = max(stop, end - _BLOCK)
            file.seek(start)
            rest, *whole = (file.read(end - start) + rest).split(b"\n")
            yield from reversed(whole)
            end = start
        if not stop:
            yield rest


def _told(line: bytes) -> Told | None:
    if not line.strip() or _DECLARATION.search(line):
        return None
    try:
        message = ElementTree.fromstring(line)
    except ElementTree.ParseError:
        return None
    event = message.find("EventIdentification")
    if event is None:
        return None
    people = message.findall("ActiveParticipant")
    people.sort(key=lambda each: each.get("UserIsRequestor") != "true")
    return Told(
        at=event.get("EventDateTime", ""),
        event=_meaning(event.find("EventID")),
        kind=_meaning(event.find("EventTypeCode")),
        outcome=event.get("EventOutcomeIndicator", ""),
        who=tuple(each.get("UserID", "") for each in people),
        where=tuple(filter(None, (each.get("NetworkAccessPointID", "") for each in people))),
        studies=tuple(_studies(message)),
        description=_description(message, event),
    )


def _meaning(code: ElementTree.Element | None) -> str:
    return "" if code is None else code.get("originalText", "")


def _studies(message: ElementTree.Element) -> Iterator[str]:
    for thing in message.findall("ParticipantObjectIdentification"):
        if _meaning(thing.find("ParticipantObjectIDTypeCode")) == "Study Instance UID":
            yield thing.get("ParticipantObjectID", "")
        for each in thing.iter("StudyIDs"):
            yield each.get("UID", "")


def _description(message: ElementTree.Element, event: ElementTree.Element) -> str:
    for detail in message.iter("ParticipantObjectDetail"):
        try:
            return base64.b64decode(detail.get("value", ""), validate=True).decode(
                "utf-8", "replace"
            )
        except binascii.Error:
            continue
    return event.findtext("EventOutcomeDescription", "")
