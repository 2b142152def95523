"""docs/audit.md shows what the code writes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from lxml import etree

from audit.codes import EventID, EventType
from audit.events import Author, Instances, Peer
from audit.messages import Participant, Source
from audit.syslog import Header
from wetread.sections import AuditSection

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text("utf-8")
AT = datetime(2026, 3, 1, 3, 0, 0, 123000, tzinfo=UTC)
NODE = Author(
    source=Source(source_id="WETREAD", enterprise_site="St. Example"),
    process=Participant(
        user_id="ai-1:deliver:17",
        ae_title="WETREAD",
        name="wetread deliver",
        address="ai-1",
    ),
)
SENT = NODE.sent(
    AT,
    Peer(ae_title="ORTHANC", address="192.0.2.10"),
    Instances(
        study_uid="1.2.840.113619.2.1.77",
        classes={
            "1.2.840.10008.5.1.4.1.1.88.34": 1,
            "1.2.840.10008.5.1.4.1.1.7": 2,
        },
        patient_id="4711",
    ),
)


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def canonical(message: str) -> bytes:
    parser = etree.XMLParser(remove_blank_text=True)
    return etree.tostring(etree.fromstring(message, parser), method="c14n")


def test_the_example_is_what_is_written() -> None:
    assert canonical(block("xml")) == canonical(SENT.xml())


def test_the_line_of_syslog_is_what_is_sent() -> None:
    header = Header(host="ai-1", application="wetread", process="deliver-17")
    line = header.line("<AuditMessage>...</AuditMessage>", AT)
    framed = b"%d %s" % (len(line), line)
    assert block("text") == framed.decode().replace("\ufeff", "") + "\n"


def test_every_event_and_code_is_listed() -> None:
    for each in [*EventID, *EventType]:
        assert f"{each.value.value}" in PAGE, each
        assert each.value.meaning in PAGE, each


def test_every_setting_is_explained() -> None:
    for name in AuditSection.model_fields:
        assert f"`{name}`" in PAGE, name
