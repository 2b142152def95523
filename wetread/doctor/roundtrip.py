"""Sends a test study through the node: to the receiver, the models, and every destination."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from delivery.associate import NoAssociation, Peer
from delivery.send import SendOutcome, send
from wetread.doctor.finding import Finding, Verdict, failed, ok, skipped
from wetread.doctor.following import Following
from wetread.doctor.receiver import Closed, ourselves
from wetread.doctor.surroundings import Surroundings
from wetread.listeners import listeners

PATIENT_NAME = "TEST^WETREAD^DOCTOR"
ID_PREFIX = "WETREAD-TEST-"
STUDY_DESCRIPTION = "wetread doctor test study - not a patient"
_ROWS, _COLUMNS = 1000, 820


def round_trip(surroundings: Surroundings) -> Iterator[Finding]:
    """Send a marked test study, and follow it."""
    settings = surroundings.settings
    try:
        peer = ourselves(settings, listeners(settings)[-1])
    except Closed:
        yield skipped(
            "sent",
            "no [[peer]] may call from this host without a passcode or a certificate of its own",
            "send a phantom from a modality, and follow it with 'wetread studies show'",
        )
        return
    moment = datetime.now(UTC)
    patient_id = f"{ID_PREFIX}{moment:%Y%m%d%H%M%S}"
    with TemporaryDirectory(prefix="wetread-doctor-") as folder:
        path, study_uid = _written(Path(folder), patient_id, moment)
        started = time.monotonic()
        sent = _sent(peer, path)
    if isinstance(sent, Finding):
        yield sent
        return
    yield ok("received", f"stored in {time.monotonic() - started:.1f} s")
    deadline = started + surroundings.patience_seconds
    yield from Following(surroundings, study_uid, deadline).steps()
    yield Finding(
        subject="test study",
        verdict=Verdict.OK,
        found=f"patient ID {patient_id}, study {study_uid}",
        remedy=f"delete patient {patient_id} in the PACS when you no longer want it; here "
        "[storage] removes it with the others",
    )


def _written(folder: Path, patient_id: str, moment: datetime) -> tuple[Path, str]:
    """Write the test study; its file and its UID."""
    # Only where it is needed: it takes a while to import.
    from wetread.phantom import chest_study

    (image,) = chest_study(
        seed=int(moment.timestamp()),
        finding="consolidation",  # so that a destination that wants no negatives gets it, too
        rows=_ROWS,
        columns=_COLUMNS,
        patient_name=PATIENT_NAME,
        patient_id=patient_id,
        accession=f"WRT{moment:%y%m%d%H%M%S}",
        study_date=f"{moment:%Y%m%d}",
        study_time=f"{moment:%H%M%S}",
        fresh=True,
    )
    image.StudyDescription = STUDY_DESCRIPTION
    image.PatientComments = "Test of a connection, no patient"
    image.QualityControlSubject = "YES"  # PS3.3 C.7.1.1: a phantom
    path = folder / "test.dcm"
    image.save_as(path, enforce_file_format=True)
    return path, str(image.StudyInstanceUID)


def _sent(peer: Peer, path: Path) -> SendOutcome | Finding:
    try:
        (outcome,) = send(peer, [path])
    except NoAssociation as error:
        return failed("sent", str(error), "see the check 'receiver'")
    if outcome.stored:
        return outcome
    return failed(
        "sent",
        f"the receiver did not store it: {outcome.reason}",
        "A700: make room on the disk; other statuses: docs/receiving.md lists them; no answer: "
        "look into its log",
    )
