"""Derived UIDs: the same input gives the same UID, any other input another."""

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from sr.findings import Algorithm
from sr.identity import Kind, algorithm_uid, contributing_equipment, result_uid
from tests.sr_examples import ALGORITHM

_UIDS = st.lists(
    st.from_regex(r"1\.2\.[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}", fullmatch=True), min_size=1, max_size=5
)


@given(uids=_UIDS, kind=st.sampled_from(Kind), order=st.randoms(use_true_random=False))
def test_uid_is_valid_and_does_not_depend_on_the_order_of_images(uids, kind, order) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(uids)
    order.shuffle(shuffled)
    uid = result_uid(uids, ALGORITHM, kind)
    assert UID(uid).is_valid
    assert uid.startswith("2.25.")
    assert uid == result_uid(shuffled, ALGORITHM, kind)


@given(uids=_UIDS, other=_UIDS)
def test_other_images_give_another_uid(uids: list[str], other: list[str]) -> None:
    same = sorted(uids) == sorted(other)
    assert (
        result_uid(uids, ALGORITHM, Kind.REPORT) == result_uid(other, ALGORITHM, Kind.REPORT)
    ) is same


def test_kind_purpose_name_and_version_each_give_another_uid() -> None:
    newer = Algorithm(name="chest-screen", version="1.2.1", manufacturer="m", title="t")
    renamed = Algorithm(name="chest", version="1.2.0", manufacturer="m", title="t")
    uids = [
        result_uid(["1.2.3"], ALGORITHM, Kind.REPORT),
        result_uid(["1.2.3"], ALGORITHM, Kind.TEXT),
        result_uid(["1.2.3"], ALGORITHM, Kind.OVERLAY),
        result_uid(["1.2.3"], ALGORITHM, Kind.REPORT, "series"),
        result_uid(["1.2.3"], newer, Kind.REPORT),
        result_uid(["1.2.3"], renamed, Kind.REPORT),
    ]
    assert len(set(uids)) == len(uids)


def test_uid_of_a_known_input_never_changes() -> None:
    # An archive that holds the first object of this UID must meet the same UID after an upgrade.
    known = Algorithm(name="a", version="1", manufacturer="m", title="t")
    assert result_uid(["1.2.3"], known, Kind.REPORT) == (
        "2.25.315396947845478622928722205405560008074"
    )


def test_new_model_version_is_a_new_device() -> None:
    newer = Algorithm(name="chest-screen", version="1.2.1", manufacturer="m", title="t")
    item = contributing_equipment(ALGORITHM)
    assert item.DeviceUID == algorithm_uid(ALGORITHM) != algorithm_uid(newer)
    assert (item.ManufacturerModelName, item.SoftwareVersions) == ("chest-screen", "1.2.0")
