"""Each destination: whether it can be reached, and takes exactly what it would be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from db.verdict import PUSH_MODEL
from delivery.patient import FIND, CheckPatient, NotAnswered, look_up
from wetread.doctor.finding import Finding, failed, ok, skipped, warning
from wetread.doctor.offers import judged, offers
from wetread.doctor.reach import VERIFICATION, Unreached, associated, verify
from wetread.doctor.surroundings import Surroundings
from wetread.origin import ConfigError
from wetread.peers import destination_peer, web_peer
from wetread.profiles import profile
from wetread.requesters import requesters
from wetread.sections import Destination

if TYPE_CHECKING:
    from delivery.dicomweb import WebPeer

# As delivery.cstore proposes them.
_TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_MEND = "have it answer C-FIND, study root, for our AE title, or set another check_patient"


def destinations(surroundings: Surroundings) -> Iterator[Finding]:
    """Call each as the courier does, and send nothing."""
    for each in surroundings.settings.destination:
        try:
            if each.url:
                yield _web(each, web_peer(each))
            else:
                yield from _called(surroundings, each)
        except (ConfigError, Unreached) as error:
            remedy = error.remedy if isinstance(error, Unreached) else "see the check 'files'"
            yield failed(each.name, str(error), remedy)
    if not surroundings.settings.destination:
        yield skipped("destinations", "none is listed")


def _called(surroundings: Surroundings, given: Destination) -> Iterator[Finding]:
    peer, offered = destination_peer(surroundings.settings, given), offers(profile(given))
    checked = CheckPatient(given.check_patient)
    further = [] if checked is CheckPatient.OFF else [FIND]
    further += [UID(PUSH_MODEL)] if given.commitment else []
    classes = dict.fromkeys([*further, *(uid for each in offered for uid in each.classes)])
    wanted = [(str(Verification), _TRANSFER_SYNTAXES)]
    wanted += [(str(each), _TRANSFER_SYNTAXES) for each in classes]
    with associated(peer, wanted) as association:
        accepted = {
            str(each.abstract_syntax): [str(syntax) for syntax in each.transfer_syntax]
            for each in association.accepted_contexts
        }
        trouble = verify(association)
        if trouble:
            yield warning(given.name, trouble, "allow Verification there: others may probe by it")
        else:
            yield ok(given.name, f"{peer} answers C-ECHO")
        for each in offered:
            yield judged(each, accepted, given.name)
        if given.commitment:
            yield _commitment(given, PUSH_MODEL in accepted)
        if checked is not CheckPatient.OFF:
            yield _asked(given, association)


def _commitment(given: Destination, accepted: bool) -> Finding:
    if accepted:
        return ok(given.name, "offers storage commitment")
    return failed(
        given.name,
        "it does not offer storage commitment: each result is sent again until it is given up",
        "have it offer Storage Commitment Push Model, or set commitment = false",
    )


def _asked(given: Destination, association: Association) -> Finding:
    """Ask about a study that nobody has, as before a result is sent."""
    try:
        look_up(association, str(generate_uid(prefix=None)))
    except NotAnswered as error:
        if CheckPatient(given.check_patient) is CheckPatient.REQUIRED:
            return failed(given.name, f"{error}: every result is held", _MEND)
        return warning(
            given.name,
            f"{error}: a result can go to a patient who was corrected there",
            _MEND,
        )
    return ok(given.name, "answers C-FIND, so the patient is checked before a result is sent")


def _web(given: Destination, peer: WebPeer) -> Finding:
    # Only where it is needed: it imports a large library.
    from delivery.stow import verify as verify_web

    trouble = verify_web(peer)
    if not trouble:
        return ok(given.name, f"{peer} answers QIDO-RS; STOW-RS shows what it takes when it comes")
    return failed(
        given.name,
        trouble.removeprefix(f"{peer}: "),
        "correct url, user and secret_file, let ca name who signed its certificate, or start it",
    )


def peers(surroundings: Surroundings) -> Iterator[Finding]:
    """Call back each peer that has a host, as a report of storage commitment would."""
    settings = surroundings.settings
    known = [each for each in settings.peer if each.host]
    try:
        called = requesters(settings)
    except ConfigError as error:
        yield failed("peers", str(error), "see the check 'files'")
        return
    for each in known:
        try:
            with associated(called[each.ae_title], [VERIFICATION]) as association:
                trouble = verify(association)
        except Unreached as error:
            yield failed(each.name, str(error), error.remedy)
            continue
        if trouble:
            yield warning(each.name, trouble, "allow Verification there")
        else:
            yield ok(each.name, f"{called[each.ae_title]} answers C-ECHO")
    if not known:
        yield skipped("peers", "no [[peer]] has a host, so none is called back")
