"""What ``wetread doctor`` proposes to a destination is what results really are."""

from __future__ import annotations

import pytest

from inference.addressing import Profile
from sr.bundle import KINDS, build_results
from sr.identity import Kind
from tests.matrix import CASES
from tests.sr_examples import WHEN
from wetread.doctor.offers import offers


@pytest.mark.parametrize("case", ["dx", "ct-outlines"])
@pytest.mark.parametrize("kinds", [KINDS, (Kind.REPORT, Kind.OVERLAY)], ids=["all", "no-text"])
def test_each_kind_is_offered_as_what_it_may_be_sent(case: str, kinds: tuple[Kind, ...]) -> None:
    sources, reading = CASES[case]()
    objects = build_results(sources, {}, reading, when=WHEN, kinds=kinds).objects
    classes = {str(each.dataset.SOPInstanceUID): each.dataset.SOPClassUID for each in objects}
    profile = Profile(destination="pacs", kinds=kinds)
    offered = {each.kind.value: each.classes for each in offers(profile)}
    letters = list(profile.letters(objects))
    assert "sr" in {each.kind for each in letters}
    for letter in letters:
        assert tuple(classes[uid] for uid in letter.forms) == offered[letter.kind]


def test_a_notice_is_offered_where_one_may_be_sent() -> None:
    silent, telling = (
        {each.kind for each in offers(Profile(destination="p", kinds=(Kind.OVERLAY,), notices=on))}
        for on in (False, True)
    )
    assert telling - silent == {Kind.NOTICE}
