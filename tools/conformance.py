"""Fills the tables of docs/conformance.md from the code's own.

``python -m tools.conformance`` writes them; with ``--check`` it only says whether they are up to
date. A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; all else in the document
is written by hand.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from enum import IntEnum
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import requests
from pydicom.sr.coding import Code
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import _STORAGE_CLASSES

from db import verdict
from delivery import answers, asking, associate, cstore, dicomweb, patient, send
from delivery.commitment import _TRANSFER_SYNTAXES as REPORT_SYNTAXES
from delivery.destination import Refused
from dimse.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from inference.addressing import Profile
from scp import action, commitment, server, tls
from scp.contexts import accepted_contexts
from scp.rejection import Rejection
from scp.settings import ReceiverSettings
from scp.status import StoreStatus
from sr import (
    activation,
    codes,
    identity,
    keyimages,
    notice,
    overlay,
    pdf,
    presentation,
    segmentation,
    text,
)
from sr.identity import Kind
from sr.style import DEFAULT_KINDS
from wetread.config import Settings
from wetread.profiles import profile
from wetread.sections import Destination

PAGE = Path(__file__).parents[1] / "docs/conformance.md"
_REGION = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_STORAGE = " Storage"
_BUILT_BY: dict[Kind, ModuleType] = {
    Kind.TEXT: text,
    Kind.OVERLAY: overlay,
    Kind.PRESENTATION: presentation,
    Kind.KEY_IMAGES: keyimages,
    Kind.SEGMENTATION: segmentation,
    Kind.PDF: pdf,
    Kind.MAP: activation,
    Kind.NOTICE: notice,
}
_SETTINGS = (
    "node.ae_title",
    "node.host",
    "node.port",
    "node.receivers",
    "node.free_megabytes",
    "tls.port",
    "tls.require",
    "study.release_seconds",
    "delivery.attempts",
    "delivery.retry_seconds",
    "delivery.retry_longest_seconds",
    "delivery.batch",
    "delivery.commitment_seconds",
)


class UnknownTable(Exception):
    """The document has a region for which there is no table; the message names it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill or check the document; 1 if it was checked and is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m tools.conformance")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    old = PAGE.read_text("utf-8")
    new = filled(old)
    if check and new != old:
        print(f"{PAGE.name}: tables are out of date; run python -m tools.conformance")
        return 1
    if new != old:
        PAGE.write_text(new, "utf-8")
    return 0


def filled(page: str) -> str:
    """Return the document with every table made anew.

    Raises
    ------
    UnknownTable
        A region names a table that there is not.
    """

    def table(match: re.Match[str]) -> str:
        name = match[2]
        if name not in TABLES:
            raise UnknownTable(f"there is no table {name!r}")
        return f"{match[1]}\n{TABLES[name]()}\n\n{match[3]}"

    return _REGION.sub(table, page)


def regions(page: str) -> list[str]:
    """Return the names of a document's regions, in order."""
    return [match[2] for match in _REGION.finditer(page)]


def _table(head: str, rows: Iterable[Sequence[object]]) -> str:
    titles = head.split(" | ")
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(each) for each in line) + " |" for line in lines)


def _name(uid: str) -> str:
    """Name of a SOP class or transfer syntax, also of those that pydicom does not know yet."""
    name = UID(uid).name
    if name != uid:
        return name.removesuffix(" SOP Class")
    keyword = next(key for key, value in _STORAGE_CLASSES.items() if value == uid)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", keyword)


def _short(uid: str) -> str:
    """Name of a storage SOP class without the word that all of them share."""
    return _name(uid).replace(_STORAGE, "")


def _storage_contexts() -> list[PresentationContext]:
    return list(accepted_contexts()[1:])


def _commitment_context() -> PresentationContext:
    nothing = cast(Any, None)  # database, archive and settings are for the handlers
    (context,) = commitment.commitment_handlers(nothing, nothing, nothing).contexts
    return context


def _syntaxes(context: PresentationContext) -> list[str]:
    return [str(each) for each in context.transfer_syntax or []]


def _overview() -> str:
    verification, *storage = accepted_contexts()
    push_model = str(_commitment_context().abstract_syntax)
    return _table(
        "SOP class | UID | SCU | SCP",
        [
            (_name(str(verification.abstract_syntax)), verification.abstract_syntax, "yes", "yes"),
            (f"Storage: {len(storage)} classes ([all](#a-storage-sop-classes))", "", "", "yes"),
            *((_name(each), each, "yes", "yes") for each in _sent_classes()),
            (_name(push_model), push_model, "yes", "yes"),
            (_name(patient.FIND), patient.FIND, "yes", "no"),
        ],
    )


def _sent_classes() -> list[str]:
    found = dict.fromkeys(uid for kind in Kind for uid in _forms(kind))
    return list(found)


@cache
def _forms(kind: Kind) -> tuple[str, ...]:
    """SOP classes that an object of this kind may have, the preferred first."""
    if kind is Kind.REPORT:
        return tuple(str(each) for each in _default_profile().report_classes)
    uids = {
        value
        for value in vars(_BUILT_BY[kind]).values()
        if isinstance(value, UID) and value.name.endswith(_STORAGE)
    }
    (uid,) = uids
    return (str(uid),)


def _default_profile() -> Profile:
    return profile(Destination(name="pacs", ae_title="PACS", host="localhost", port=104))


def _sent() -> str:
    rows = []
    for kind in sorted(Kind, key=identity.SERIES_NUMBERS.__getitem__):
        forms = ", else ".join(_short(each) for each in _forms(kind))
        default = "yes" if kind in DEFAULT_KINDS else "no"
        rows.append((f"`{kind.value}`", forms, identity.SERIES_NUMBERS[kind], default))
    return _table("kind | SOP class | Series Number | sent by default", rows)


def _storage_classes() -> str:
    named = sorted((_short(uid), uid) for uid in map(_abstract, _storage_contexts()))
    half = -(-len(named) // 2)
    pairs = zip_longest(named[:half], named[half:], fillvalue=("", ""))
    return _table("SOP class | UID | SOP class | UID", [(*one, *other) for one, other in pairs])


def _abstract(context: PresentationContext) -> str:
    return str(context.abstract_syntax)


def _transfer_syntaxes() -> str:
    (syntaxes,) = {tuple(_syntaxes(each)) for each in _storage_contexts()}  # the same for all
    return _table("transfer syntax | UID", [(_name(each), each) for each in syntaxes])


def _accepted() -> str:
    verification, *storage = accepted_contexts()
    push_model = _commitment_context()
    every = f"all {len(_syntaxes(storage[0]))} ([list](#b-transfer-syntaxes))"
    rows = [
        (_name(_abstract(verification)), _named(_syntaxes(verification)), "SCP"),
        ("Storage ([all](#a-storage-sop-classes))", every, "SCP"),
        (_name(_abstract(push_model)), _named(_syntaxes(push_model)), "SCP, SCU"),
    ]
    return _table("abstract syntax | transfer syntaxes, in order of preference | role", rows)


def _named(syntaxes: Iterable[str]) -> str:
    return ", ".join(_name(str(each)) for each in syntaxes)


def _proposed() -> str:
    results = _named(cstore._TRANSFER_SYNTAXES)
    push_model = _named(REPORT_SYNTAXES)
    verification = _name(_abstract(accepted_contexts()[0]))
    rows = [
        ("results are due", "Storage, each class that was due so far", results, "SCU"),
        ("results are due", verification, results, "SCU"),
        ("results are due, `check_patient` is not `off`", _name(patient.FIND), results, "SCU"),
        ("a commitment report is due", _name(verdict.PUSH_MODEL), push_model, "SCP"),
        ("a destination is to commit", _name(verdict.PUSH_MODEL), push_model, "SCU"),
        ("a destination is to commit", verification, push_model, "SCU"),
        ("`wetread echo`", verification, _named([ImplicitVRLittleEndian]), "SCU"),
        ("`wetread send`", "Storage, the classes of the files", "that of the file*", "SCU"),
        ("`wetread simulate`", "Storage, DX, CR or CT", "Explicit VR Little Endian*", "SCU"),
    ]
    return _table("when | abstract syntax | transfer syntaxes | role", rows)


def _acceptor() -> str:
    settings = ReceiverSettings(ae_title="WETREAD", host="", port=0)
    ae = server._application_entity(settings)
    answer = _default(commitment.CommitmentSettings, "answer_seconds")
    rows = [
        ("Application context", "1.2.840.10008.3.1.1.1"),
        ("PDU size announced, bytes", f"{settings.maximum_pdu_size:,}"),
        ("Associations at once, per port and process", settings.maximum_associations),
        ("Outstanding operations (asynchronous operations window)", "1, not negotiated"),
        ("TLS handshake, and waiting for the request, seconds", f"{ae.acse_timeout:g}"),
        ("Silence before an abort, seconds", f"{settings.network_timeout_seconds:g}"),
        ("Bytes per second below which a message is aborted", _whole("floor_bytes_per_second")),
        ("Answer to an N-EVENT-REPORT awaited, seconds", f"{answer:g}"),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION}`"),
    ]
    return _table("of associations that are accepted | value", rows)


def _initiator() -> str:
    rows = [
        ("Application context", "1.2.840.10008.3.1.1.1"),
        ("PDU size announced, bytes", f"{associate._MAXIMUM_PDU_SIZE:,}"),
        (
            "Associations at once, per process",
            "`associations` per destination, one more to ask it to commit; "
            "one per requester of reports",
        ),
        ("Idle association for results released, seconds", f"{cstore.KEPT_SECONDS:g}"),
        ("Wait for a report after a request to commit, seconds", f"{asking.REPORT_SECONDS:g}"),
        ("Outstanding operations (asynchronous operations window)", "1, not negotiated"),
        ("Connection, and answer to the request, seconds", f"{associate._CONNECT_SECONDS:g}"),
        ("Answer to a message, seconds", f"{associate.ANSWER_SECONDS:g}"),
    ]
    return _table("of associations that are initiated | value", rows)


def _default(settings: type, name: str) -> float:
    (field,) = (each for each in fields(settings) if each.name == name)
    assert field.default is not MISSING
    return float(field.default)


def _whole(name: str) -> str:
    return f"{_default(ReceiverSettings, name):,.0f}"


def _rejections() -> str:
    rows = [
        (each.name, *each.value[:3], each.reason[0].upper() + each.reason[1:] + ".")
        for each in Rejection
    ]
    return _table("check | result | source | reason | meaning", rows)


def _statuses(enum: type[IntEnum], head: str = "status") -> str:
    """Codes of an enumeration with the sentences that stand below its members."""
    source = inspect.getsource(enum)
    rows = []
    for each in enum:
        (meaning,) = re.findall(rf'^ +{each.name} = .*\n +"""(.*)"""$', source, re.MULTILINE)
        rows.append((f"{each.value:04X}", each.name, meaning))
    return _table(f"{head} | name | meaning", rows)


def _events() -> str:
    listed = {
        verdict.EventType.SUCCESSFUL: "Referenced SOP Sequence: all instances",
        verdict.EventType.FAILURES_EXIST: "Referenced SOP Sequence: those that are committed; "
        "Failed SOP Sequence: the others, with Failure Reason",
    }
    rows = [(each.value, each.name, listed[each]) for each in verdict.EventType]
    return _table("event type | name | besides the Transaction UID", rows)


def _event_answers() -> str:
    single = [each for each in range(0x10000) if verdict.taken(each) and each >> 12 != 0xB]
    ranges = ["Bxxx"] if all(map(verdict.taken, range(0xB000, 0xC000))) else []
    done = ", ".join([*(f"{each:04X}" for each in single), *ranges])
    return _table(
        "answer to the N-EVENT-REPORT | what follows",
        [(done, "the request is reported"), ("any other, or none", "tried again later")],
    )


def _store_answers() -> str:
    """What is made of a C-STORE response, as the delivery's own functions judge it."""
    examples: list[tuple[str, int | None]] = [
        ("0000", 0x0000),
        ("Bxxx", 0xB000),
        (f"{answers.CLASS_NOT_SUPPORTED:04X}", answers.CLASS_NOT_SUPPORTED),
        ("A9xx", 0xA900),
        ("Cxxx", 0xC000),
        ("A7xx and all others", 0xA700),
        ("none", None),
    ]
    return _table("status | what follows", [(name, _after(status)) for name, status in examples])


def _after(status: int | None) -> str:
    if send.stored(status):
        return "delivered"
    if status is None:
        return "tried again later"
    refused = isinstance(answers.not_stored(status, ""), Refused)
    last = "refused, not tried again" if refused else "tried again later"
    another = "the next form, if there is one; else " if answers.wants_another_form(status) else ""
    return another + last


def _web_answers() -> str:
    """What is made of an HTTP status, as the delivery's own functions judge it."""
    after = {
        dicomweb.Unreachable: "the server is away: results wait, see 4.2.2",
        dicomweb.Unwilling: "the server is away: results wait, see 4.2.2",
        dicomweb.TooLarge: "the next form, if there is one; else refused, not tried again",
        dicomweb.WebTrouble: "tried again later",
    }
    web = dicomweb.Web(dicomweb.WebPeer(url="http://pacs"))
    rows = [("200, 202", "as the reply says; tried again later if it says nothing")]
    rows.append(("409", "as the Failure Reason says; tried again later if there is none"))
    rows.append(("a redirect", after[dicomweb.Unwilling]))
    for status in (401, 403, 404, 405, 407, 413, 429, 503, 500):
        response = requests.Response()
        response.status_code = status
        name = "all others" if status == 500 else str(status)
        rows.append((name, after[type(web._refusal(response))]))
    rows.append(("no connection", after[dicomweb.Unreachable]))
    rows.append(("none", after[dicomweb.WebTrouble]))
    return _table("status | what follows", rows)


def _settings() -> str:
    settings = Settings.model_construct()
    rows = []
    for path in _SETTINGS:
        section, key = path.split(".")
        value = getattr(getattr(settings, section), key)
        shown = str(value).lower() if isinstance(value, bool) else value
        rows.append((f"`[{section}] {key}`", shown))
    return _table("setting | default", rows)


def _tls() -> str:
    rows = [
        ("Least version", "TLS 1.2; 1.3 is preferred where the peer speaks it"),
        ("Cipher suites of TLS 1.2, as OpenSSL names them", f"`{tls.CIPHERS}`"),
        ("Default port", Settings.model_fields["tls"].default.port),
    ]
    return _table("TLS | value", rows)


def _private_codes() -> str:
    constants = [each for each in vars(codes).values() if isinstance(each, Code)]
    ours = {each.value: each.meaning for each in constants if each[1] == codes.PRIVATE_SCHEME}
    return _table("code value | code meaning", sorted(ours.items()))


def _scheme() -> str:
    rows = [
        ("Coding Scheme Designator", f"`{codes.PRIVATE_SCHEME}`"),
        ("Coding Scheme UID", codes.PRIVATE_SCHEME_UID),
        ("Coding Scheme Name", codes.PRIVATE_SCHEME_NAME),
    ]
    return _table("private coding scheme | value", rows)


def _results() -> str:
    version = identity.IMPLEMENTATION_VERSION_NAME.replace(identity.SOFTWARE_VERSION, "VERSION")
    rows = [
        ("Manufacturer", identity.MANUFACTURER),
        ("Manufacturer's Model Name", identity.MODEL_NAME),
        ("Implementation Class UID (file meta information)", identity.IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name (file meta information)", f"`{version}`"),
    ]
    return _table("in every result | value", rows)


TABLES: dict[str, Callable[[], str]] = {
    "overview": _overview,
    "acceptor": _acceptor,
    "accepted": _accepted,
    "rejections": _rejections,
    "store-statuses": lambda: _statuses(StoreStatus),
    "action-statuses": lambda: _statuses(action.ActionStatus),
    "events": _events,
    "failures": lambda: _statuses(verdict.Failure, "failure reason"),
    "event-answers": _event_answers,
    "initiator": _initiator,
    "proposed": _proposed,
    "store-answers": _store_answers,
    "web-answers": _web_answers,
    "sent": _sent,
    "settings": _settings,
    "tls": _tls,
    "results": _results,
    "scheme": _scheme,
    "private-codes": _private_codes,
    "storage-classes": _storage_classes,
    "transfer-syntaxes": _transfer_syntaxes,
}

if __name__ == "__main__":
    sys.exit(main())
