"""Destinations of many kinds: what each can show still reaches it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

from tests.storescp import StoreScp
from tests.validators import rule_violations, walk
from tools.node import Node
from tools.orthanc import Orthanc
from wetread.phantom import write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not StoreScp.installed(), reason="not installed: DCMTK's storescp"),
]

TEXT_AND_PICTURES = ("BasicTextSRStorage", "SecondaryCaptureImageStorage")


def results(settings: str) -> str:
    """The profile of the last destination."""
    return f"[destination.results]\n{settings}\n"


def read(node: Node, folder: Path, view: str = "PA") -> tuple[dict[str, Any], list[Path]]:
    """Send a study and wait until all is over; the job as it is shown, and the files."""
    sources = write_study(folder, seed=1, rows=800, finding="consolidation", level=1.0)
    for path in sources:
        dataset = dcmread(path)
        dataset.ViewPosition = view
        dataset.save_as(path)
    assert node.send(*sources).returncode == 0
    (job,) = node.wait_for_jobs(studies=1)
    shown: dict[str, Any] = node.json("jobs", "show", str(job["id"]))
    return shown, sources


def classes(objects: list[Dataset]) -> dict[str, int]:
    return dict(Counter(each.SOPClassUID for each in objects))


def states(job: dict[str, Any]) -> dict[str, str]:
    return {each["kind"]: each["state"] for each in job["deliveries"]}


def test_a_pacs_of_text_and_pictures_gets_those_and_the_job_tells_of_the_rest(
    tmp_path: Path,
) -> None:
    with StoreScp(tmp_path / "pacs", TEXT_AND_PICTURES) as pacs:
        with Node(tmp_path / "node", [("pacs", pacs.ae_title, pacs.port)]) as node:
            job, _ = read(node, tmp_path / "study")
        received = classes(pacs.datasets())
    assert received == {BasicTextSRStorage: 1, SecondaryCaptureImageStorage: 1}
    assert states(job) == {"sr": "refused", "text": "sent", "sc": "sent"}
    (refused,) = (each for each in job["deliveries"] if each["state"] == "refused")
    assert "accepts no form of this sr object" in refused["reason"]


def test_without_a_text_report_of_its_own_the_report_goes_there_as_text(tmp_path: Path) -> None:
    extra = results('send = ["sr", "sc"]')
    with StoreScp(tmp_path / "pacs", TEXT_AND_PICTURES) as pacs:
        with Node(tmp_path / "node", [("pacs", pacs.ae_title, pacs.port)], extra) as node:
            job, _ = read(node, tmp_path / "study")
        objects = pacs.datasets()
    assert classes(objects) == {BasicTextSRStorage: 1, SecondaryCaptureImageStorage: 1}
    assert states(job) == {"sr": "sent", "sc": "sent"}
    texts = [i.TextValue for each in objects for i in walk(each) if "TextValue" in i]
    assert any("not for diagnosis" in each.lower() for each in texts)


def test_a_pacs_of_pictures_alone_gets_the_overlay(tmp_path: Path) -> None:
    with StoreScp(tmp_path / "pacs", ["SecondaryCaptureImageStorage"]) as pacs:
        with Node(tmp_path / "node", [("pacs", pacs.ae_title, pacs.port)]) as node:
            job, _ = read(node, tmp_path / "study")
        (overlay,) = pacs.datasets()
    assert overlay.SOPClassUID == SecondaryCaptureImageStorage
    assert states(job) == {"sr": "refused", "text": "refused", "sc": "sent"}


def test_the_first_class_of_the_chain_that_is_accepted_is_sent(tmp_path: Path) -> None:
    with StoreScp(tmp_path / "pacs", ["EnhancedSRStorage", "BasicTextSRStorage"]) as pacs:
        with Node(tmp_path / "node", [("pacs", pacs.ae_title, pacs.port)]) as node:
            read(node, tmp_path / "study")
        assert classes(pacs.datasets()) == {EnhancedSRStorage: 1, BasicTextSRStorage: 1}


def test_two_destinations_each_get_their_own(orthanc: Orthanc, tmp_path: Path) -> None:
    """Every kind in Japanese to one PACS, text and pictures in French to another."""
    wide = results(
        'send = ["sr", "text", "sc", "gsps", "kos", "seg", "pdf", "pm"]\nlanguage = "ja"\n'
        'banner = "Ward 5"\nseries_numbers = { text = 501 }'
    )
    with StoreScp(tmp_path / "pacs", TEXT_AND_PICTURES) as pacs:
        narrow = (
            f'[[destination]]\nname = "ward"\nae_title = "{pacs.ae_title}"\nhost = "127.0.0.1"\n'
            f"port = {pacs.port}\n" + results('send = ["text", "sc"]\nlanguage = "fr"')
        )
        destination = ("pacs", orthanc.ae_title, orthanc.port)
        with Node(tmp_path / "node", [destination], wide + narrow) as node:
            _, sources = read(node, tmp_path / "study")
            french, japanese = pacs.datasets(), orthanc.datasets()
            # The same study again: nothing new, of whatever kind.
            assert node.send(*sources).returncode == 0
            node.wait_for_jobs(studies=1)
        assert len(pacs.datasets()) == len(french)
        assert len(orthanc.datasets()) == len(japanese)
    assert classes(french) == {BasicTextSRStorage: 1, SecondaryCaptureImageStorage: 1}
    found = classes(japanese)
    optional = (
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        EncapsulatedPDFStorage,
    )
    assert [found[each] for each in optional] == [1, 1, 1]
    uids = [each.SOPInstanceUID for each in (*french, *japanese)]
    assert len(set(uids)) == len(uids) == 2 + sum(found.values())
    (text,) = (each for each in japanese if each.SOPClassUID == BasicTextSRStorage)
    assert text.SeriesNumber == 501
    assert "診断には使用しない" in "".join(i.TextValue for i in walk(text) if "TextValue" in i)
    for number, each in enumerate(japanese):
        file = tmp_path / f"{number}.dcm"
        each.save_as(file, enforce_file_format=True)
        if each is not text:  # whose series number is the site's
            assert rule_violations(file, sources[0]) == [], each.SOPClassUID.name


def test_silence_is_explained_where_the_site_wants_it(orthanc: Orthanc, tmp_path: Path) -> None:
    destination = ("pacs", orthanc.ae_title, orthanc.port)
    with Node(tmp_path / "node", [destination], results("not_processed = true")) as node:
        job, sources = read(node, tmp_path / "study", view="LL")
        objects = orthanc.datasets()
        assert node.send(*sources).returncode == 0
        node.wait_for_jobs(studies=1)
        assert len(orthanc.datasets()) == 1
    assert (job["state"], states(job)) == ("skipped", {"notice": "sent"})
    assert classes(objects) == {BasicTextSRStorage: 1}
    file = tmp_path / "notice.dcm"
    objects[0].save_as(file, enforce_file_format=True)
    assert rule_violations(file, sources[0]) == []
    texts = [item.TextValue for item in walk(objects[0]) if "TextValue" in item]
    assert any("view LL is not PA or AP" in each for each in texts)
