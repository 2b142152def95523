"""What ``audit.file`` wrote can be read back, and what it did not write is passed over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.events import Author, Instances, Peer, Person
from audit.messages import Participant, Source
from audit.reading import latest

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
NODE = Author(source=Source(source_id="WETREAD"), process=Participant(user_id="host:web:1"))
PERSON = Person(user_id="bob", address="192.0.2.9")


def test_the_latest_comes_first_with_who_and_what(tmp_path: Path) -> None:
    file = tmp_path / "audit.xml"
    messages = [
        NODE.sent(AT, Peer(ae_title="PACS", address="pacs"), Instances(study_uid="1.2.3")),
        NODE.accessed(AT, PERSON, ["1.2.3", "1.2.4"]),
        NODE.admin_action(AT, PERSON, "job 7 <cancelled>", "wetread:job:7", "1.2.5"),
    ]
    file.write_text("".join(f"{each.xml()}\n" for each in messages), "utf-8")
    action, accessed, sent = latest(file, 1_000_000)
    assert action.description == "job 7 <cancelled>"
    assert (action.who[0], action.where, action.studies) == ("bob", ("192.0.2.9",), ("1.2.5",))
    assert action.kind == "Use of Restricted Function"
    assert accessed.studies == ("1.2.3", "1.2.4")
    assert accessed.event == "DICOM Instances Accessed"
    assert (sent.at, sent.outcome) == ("2026-03-01T03:00:00.000Z", "0")


@pytest.mark.parametrize(
    "line",
    [
        b"no XML",
        b"<AuditMessage/>",
        b"\xff\xfe",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><AuditMessage>&a;</AuditMessage>',
        b"",
    ],
)
def test_what_is_no_message_is_passed_over(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "audit.xml"
    message = NODE.accessed(AT, PERSON, ["1.2.3"]).xml().encode()
    file.write_bytes(line + b"\n" + message + b"\n" + line + b"\n")
    assert [each.studies for each in latest(file, 1_000_000)] == [("1.2.3",)]


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "audit.xml"
    lines = [NODE.accessed(AT, PERSON, [f"1.2.{number}"]).xml() for number in range(500)]
    file.write_text("".join(f"{each}\n" for each in lines), "utf-8")
    whole = [each.studies[0] for each in latest(file, 10_000_000)]
    assert whole == [f"1.2.{number}" for number in reversed(range(500))]
    part = [each.studies[0] for each in latest(file, 100_000)]
    assert part == whole[: len(part)]
    assert 50 < len(part) < 500
