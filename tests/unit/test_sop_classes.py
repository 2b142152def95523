"""Storage SOP classes by name and by UID."""

from __future__ import annotations

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AllStoragePresentationContexts

from scp.sop_classes import storage_class, storage_classes


def test_every_class_that_is_accepted_can_be_named_by_its_uid() -> None:
    uids = {str(each.abstract_syntax) for each in AllStoragePresentationContexts}
    assert storage_classes() == uids
    assert {storage_class(each) for each in uids} == uids


def test_a_class_can_be_named_as_the_standard_does() -> None:
    assert storage_class("CTImageStorage") == CTImageStorage


@pytest.mark.parametrize("wrong", ["", "Verification", "1.2.3", "CT"])
def test_what_is_no_storage_class_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="no storage SOP class"):
        storage_class(wrong)
