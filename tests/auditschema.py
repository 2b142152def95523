"""Judges audit messages by the schema of PS3.15 A.5.1, and reads them."""

from __future__ import annotations

import base64
from pathlib import Path

from lxml import etree

_SCHEMA = etree.RelaxNG(etree.parse(str(Path(__file__).with_name("audit_message.rng"))))


def checked(message: str | bytes) -> etree._Element:
    """Parse a message that must be valid, and stand on one line."""
    content = message.encode() if isinstance(message, str) else message
    assert len(content.decode().splitlines()) == 1
    root = etree.fromstring(content)
    _SCHEMA.assertValid(root)
    return root


def messages(content: str) -> list[etree._Element]:
    """Those of a file."""
    return [checked(line) for line in content.splitlines()]


def event(message: etree._Element) -> str:
    """What a message is about: the event's type, or else its ID, in words."""
    codes = message.findall("EventIdentification/EventTypeCode") or message.findall(
        "EventIdentification/EventID"
    )
    return str(codes[0].get("originalText"))


def outcome(message: etree._Element) -> str:
    """EventOutcomeIndicator."""
    return str(message.find("EventIdentification").get("EventOutcomeIndicator"))  # type: ignore[union-attr]


def participants(message: etree._Element) -> list[tuple[str | None, str | None]]:
    """AE titles or other alternative IDs, and roles in words, in order."""
    found = []
    for each in message.findall("ActiveParticipant"):
        role = each.find("RoleIDCode")
        found.append((each.get("AlternativeUserID"), _meaning(role)))
    return found


def objects(message: etree._Element) -> dict[str, str | None]:
    """What the objects are, in words, and their IDs."""
    found = message.findall("ParticipantObjectIdentification")
    return {
        str(_meaning(each.find("ParticipantObjectIDTypeCode"))): each.get("ParticipantObjectID")
        for each in found
    }


def classes(message: etree._Element) -> dict[str | None, int]:
    """Instances per SOP class."""
    return {
        each.get("UID"): int(str(each.get("NumberOfInstances")))
        for each in message.iter("SOPClass")
    }


def alert(message: etree._Element) -> str:
    """Description of a security alert."""
    (detail,) = message.iter("ParticipantObjectDetail")
    assert detail.get("type") == "Alert Description"
    return base64.b64decode(str(detail.get("value"))).decode()


def _meaning(code: etree._Element | None) -> str | None:
    return None if code is None else code.get("originalText")
