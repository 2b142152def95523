"""Sends a test study through the node: to the receiver, the models, and every destination."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydicom import dcmread

from delivery.associate import NoAssociation
from delivery.send import SendOutcome, send
from wetread.doctor.finding import Finding, Verdict, failed, ok, skipped
from wetread.doctor.following import Following
from wetread.doctor.surroundings import Surroundings
from wetread.own_receiver import NOBODY, Closed, own_receiver

if TYPE_CHECKING:
    from wetread.simulate.making import Made


def round_trip(surroundings: Surroundings) -> Iterator[Finding]:
    """Send a marked test study, and follow it."""
    settings = surroundings.settings
    try:
        peer = own_receiver(settings)
    except Closed:
        yield skipped("sent", NOBODY, "send a phantom, and follow it with 'wetread studies show'")
        return
    with TemporaryDirectory(prefix="wetread-doctor-") as folder:
        made = _made(Path(folder))
        header = dcmread(made.paths[0], specific_tags=["StudyInstanceUID"])
        started = time.monotonic()
        trouble = _not_stored(send(peer, made.paths))
    if trouble is not None:
        yield trouble
        return
    yield ok("received", f"stored in {time.monotonic() - started:.1f} s")
    deadline = started + surroundings.patience_seconds
    yield from Following(surroundings, str(header.StudyInstanceUID), deadline).steps()
    patient_id = made.order.subject.patient_id
    yield Finding(
        subject="test study",
        verdict=Verdict.OK,
        found=f"patient ID {patient_id}, study {header.StudyInstanceUID}",
        remedy=f"delete patient {patient_id} in the PACS when you no longer want it; here "
        "[storage] removes it with the others",
    )


def _made(folder: Path) -> Made:
    """Make the test study: with a finding, for who wants no negatives gets it, too."""
    # Only where it is needed: it takes a while to import.
    from wetread.simulate.making import make
    from wetread.simulate.mark import Subject
    from wetread.simulate.plan import Order, Pattern

    pattern = Pattern(kind="chest", seed=7, finding=True, small=True)
    subject = Subject(group=int(time.time()), number=0, birth_year=1970)
    return make(Order(number=0, pattern=pattern, subject=subject), folder)


def _not_stored(outcomes: Iterator[SendOutcome]) -> Finding | None:
    try:
        reasons = [each.reason for each in outcomes if not each.stored]
    except NoAssociation as error:
        return failed("sent", str(error), "see the check 'receiver'")
    if not reasons:
        return None
    return failed(
        "sent",
        f"the receiver did not store it: {reasons[0]}",
        "A700: make room on the disk; other statuses: docs/receiving.md lists them; no answer: "
        "look into its log",
    )
