"""The receiver over real sockets: what is said, what is kept, what is not."""

from __future__ import annotations

import socket
import threading
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from sqlalchemy import text

from db import migrate, stats, studies
from db.archive import Archive, checked_uid
from db.engine import Database
from db.errors import InvalidUID
from scp.header import Header, HeaderError, read_header
from scp.server import ListenError, Receiver
from scp.settings import ReceiverSettings
from scp.status import StoreStatus

STUDY = "1.2.826.0.1.3680043.8.498.1"


class Bench:
    """A receiver with its database and archive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(f"sqlite:///{folder / 'wetread.db'}")
        migrate.upgrade(self.database)
        self.archive = Archive(folder / "data")
        self.settings = ReceiverSettings(
            ae_title="WETREAD",
            host="127.0.0.1",
            port=0,
            quiet_seconds={"DX": 60.0},
            quiet_seconds_default=300.0,
            release_seconds=1.0,
            network_timeout_seconds=5.0,
        )
        self.receiver = Receiver(self.settings, self.database, self.archive)

    def associate(
        self,
        syntax: str = ExplicitVRLittleEndian,
        sop_class: str = DigitalXRayImageStorageForPresentation,
        called: str = "WETREAD",
    ) -> Association:
        ae = AE("CONSOLE")
        contexts = [build_context(Verification), build_context(sop_class, syntax)]
        return ae.associate("127.0.0.1", self.receiver.port, contexts, ae_title=called)

    def study(self) -> dict[str, Any]:
        with self.database.read() as connection:
            return stats.study(connection, STUDY)

    def files(self) -> list[Path]:
        return sorted(each for each in (self.folder / "data").rglob("*") if each.is_file())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A receiver that listens."""
    made = Bench(tmp_path)
    with made.receiver:
        yield made
    made.database.close()


def instance(number: int = 1, syntax: UID = ExplicitVRLittleEndian, size: int = 64) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset(
        "",
        {},
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = f"{STUDY}.1.{number}"
    dataset.Modality = "DX"
    dataset.PatientName = "Unheard^Of"
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = f"{STUDY}.1"
    dataset.Rows = dataset.Columns = 8
    dataset.BitsAllocated = 8
    dataset.PixelData = bytes(size)
    dataset["PixelData"].VR = "OB"
    return dataset


def encoded(dataset: FileDataset) -> bytes:
    """The data set as it goes over the wire in its own transfer syntax."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return data_set_of(buffer.getvalue())


def data_set_of(file: bytes) -> bytes:
    """A Part 10 file without preamble and file meta information."""
    meta_length = int.from_bytes(file[140:144], "little")
    return file[144 + meta_length :]


def send(bench: Bench, *datasets: FileDataset, release: bool = True) -> list[int]:
    first = datasets[0]
    association = bench.associate(first.file_meta.TransferSyntaxUID, first.SOPClassUID)
    assert association.is_established
    answers = [int(association.send_c_store(each).Status) for each in datasets]
    if release:
        association.release()
    else:
        association.abort()
    return answers


def test_echo(bench: Bench) -> None:
    association = bench.associate()
    assert association.send_c_echo().Status == 0
    association.release()


def test_a_call_for_another_ae_title_is_rejected_with_the_reason(bench: Bench) -> None:
    association = bench.associate(called="SOMEBODY")
    assert association.is_rejected
    answer = association.acceptor.primitive
    assert answer is not None
    assert (answer.result_source, answer.diagnostic) == (1, 7)  # PS3.8 9.3.4


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEG2000,
    ],
    ids=lambda syntax: syntax.name,
)
def test_the_data_set_is_stored_byte_for_byte(bench: Bench, syntax: UID) -> None:
    dataset = instance(syntax=syntax)
    if syntax.is_encapsulated:
        dataset.PixelData = encapsulate([b"no codec needed"])
        dataset["PixelData"].is_undefined_length = True
    assert send(bench, dataset) == [0]
    (file,) = bench.files()
    assert data_set_of(file.read_bytes()) == encoded(dataset)
    meta = dcmread(file, stop_before_pixels=True).file_meta
    assert meta.TransferSyntaxUID == syntax
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert meta.SourceApplicationEntityTitle == "CONSOLE"


def test_explicit_vr_is_preferred_to_implicit(bench: Bench) -> None:
    ae, offered = AE("CONSOLE"), [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
    ae.add_requested_context(CTImageStorage, offered)
    association = ae.associate("127.0.0.1", bench.receiver.port, ae_title="WETREAD")
    (accepted,) = association.accepted_contexts
    association.release()
    assert accepted.transfer_syntax == [ExplicitVRLittleEndian]


def test_success_means_file_and_row(bench: Bench) -> None:
    assert send(bench, instance(1), instance(2)) == [0, 0]
    with bench.database.read() as connection:
        rows = studies.instances(connection, STUDY)
    assert [bench.archive.full_path(each.path) for each in rows] == bench.files()
    assert [each.size for each in rows] == [each.stat().st_size for each in bench.files()]


def test_release_pulls_due_in_and_abort_does_not(bench: Bench) -> None:
    send(bench, instance(1), release=False)
    assert seconds_until_due(bench) > 50
    send(bench, instance(2), release=True)
    wait_until(lambda: seconds_until_due(bench) < 1.1)


def test_an_identical_instance_again_is_success_and_changes_nothing(bench: Bench) -> None:
    assert send(bench, instance(), release=False) == [0]
    before, files = bench.study(), bench.files()
    stamps = [each.stat().st_mtime_ns for each in files]
    assert send(bench, instance(), release=False) == [0]
    assert bench.study() == before
    assert bench.files() == files
    assert [each.stat().st_mtime_ns for each in files] == stamps


def test_other_bytes_under_a_known_uid_are_refused_and_overwrite_nothing(bench: Bench) -> None:
    assert send(bench, instance()) == [0]
    kept = bench.files()[0].read_bytes()
    changed = instance()
    changed.PatientName = "Somebody^Else"
    assert send(bench, changed) == [StoreStatus.UID_CONFLICT]
    assert send(bench, changed) == [StoreStatus.UID_CONFLICT]
    stored, aside = bench.files()
    assert stored.read_bytes() == kept
    assert aside.parent == bench.folder / "data" / "conflicts"
    assert data_set_of(aside.read_bytes()) == encoded(changed)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "../../etc/passwd", "1.2\\1.3", "1." * 40])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.filterwarnings("ignore:The value length")
def test_a_uid_that_is_none_is_refused(bench: Bench, keyword: str, value: str | None) -> None:
    dataset = instance()
    if value is None:
        del dataset[keyword]
    else:
        setattr(dataset, keyword, value)
    assert send(bench, dataset) == [StoreStatus.CANNOT_UNDERSTAND]
    assert bench.files() == []


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_a_data_set_that_contradicts_its_command_is_refused(bench: Bench, keyword: str) -> None:
    association = bench.associate()
    dataset = instance()
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = dataset.SOPClassUID
    request.AffectedSOPInstanceUID = dataset.SOPInstanceUID
    request.Priority = 0
    dataset[keyword].value = UID(CTImageStorage)  # a UID, and not the one in the command
    request.DataSet = BytesIO(encoded(dataset))
    assert exchange(association, request) == StoreStatus.CLASS_MISMATCH
    association.release()
    assert bench.files() == []


def exchange(association: Association, request: C_STORE) -> int:
    """Send a C-STORE request that ``send_c_store`` would not make; return the status."""
    (context,) = (
        each
        for each in association.accepted_contexts
        if each.abstract_syntax == request.AffectedSOPClassUID
    )
    assert context.context_id is not None
    association._reactor_checkpoint.clear()  # as send_c_store does: the answer is ours to take
    while not association._is_paused:
        time.sleep(0.0001)
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert isinstance(answer, C_STORE)
    assert answer.Status is not None
    return int(answer.Status)


def test_a_disk_that_refuses_is_out_of_resources_and_leaves_nothing(bench: Bench) -> None:
    (bench.folder / "data" / "spool").write_text("a file where the folder should be")
    assert send(bench, instance()) == [StoreStatus.OUT_OF_RESOURCES]
    (bench.folder / "data" / "spool").unlink()
    assert bench.files() == []
    assert send(bench, instance()) == [0]


def test_a_data_folder_that_is_gone_is_not_made_anew(bench: Bench) -> None:
    """Its disk may not be mounted: what is written then would vanish under the mount."""
    data = bench.folder / "data"
    data.rename(bench.folder / "unmounted")
    association = bench.associate()
    answer = association.send_c_store(instance())
    assert answer.Status == StoreStatus.OUT_OF_RESOURCES
    assert answer.ErrorComment == "cannot store: the data folder is gone"
    assert not data.exists()
    (bench.folder / "unmounted").rename(data)
    assert association.send_c_store(instance()).Status == 0
    association.release()


def test_a_database_that_refuses_is_out_of_resources_and_leaves_nothing(bench: Bench) -> None:
    with bench.database.write() as connection:
        connection.execute(text("alter table instance rename to hidden"))
    assert send(bench, instance()) == [StoreStatus.OUT_OF_RESOURCES]
    assert bench.files() == []
    with bench.database.write() as connection:
        connection.execute(text("alter table hidden rename to instance"))
    assert send(bench, instance()) == [0]


def test_a_fault_of_ours_is_answered_and_the_association_goes_on(bench: Bench) -> None:
    association = bench.associate()
    store = bench.receiver._store
    del store.archive  # nobody foresaw this
    answer = association.send_c_store(instance())
    assert answer.Status == StoreStatus.PROCESSING_FAILURE
    assert answer.ErrorComment == "AttributeError"
    store.archive = bench.archive
    assert association.send_c_store(instance()).Status == StoreStatus.SUCCESS
    association.release()


def test_our_own_results_are_kept_and_make_nothing_due(bench: Bench) -> None:
    own = instance()
    own.Manufacturer = own.ManufacturerModelName = "wetread"
    assert send(bench, own) == [0]
    assert bench.study()["due_at"] is None
    with bench.database.read() as connection:
        assert studies.instances(connection, STUDY) == []


def test_many_associations_at_once(bench: Bench) -> None:
    answers: list[int] = []

    def console(number: int) -> None:
        datasets = [instance(number * 100 + each, size=20_000) for each in range(5)]
        answers.extend(send(bench, *datasets))

    threads = [threading.Thread(target=console, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 40
    assert bench.study()["instances"] == 40
    assert len(bench.files()) == 40


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x04\x00\x00\x00\x00\x10" + b"x" * 4,  # P-DATA before an association, cut short
        b"\x01\x00\x00\x00\x00\x44\x00\x01" + b"\xff" * 66,  # A-ASSOCIATE-RQ full of nonsense
        b"\xff" * 4096,
    ],
)
def test_noise_on_the_port_disturbs_nobody(bench: Bench, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", bench.receiver.port), timeout=5) as peer:
        peer.sendall(noise)
    assert send(bench, instance()) == [0]


def test_a_peer_that_vanishes_mid_data_set_leaves_nothing(bench: Bench) -> None:
    association = bench.associate()
    transport = association.dul.socket
    assert transport is not None
    assert transport.socket is not None
    # A P-DATA-TF that promises more than will ever come.
    transport.socket.sendall(b"\x04\x00\x00\x01\x00\x00" + b"\x00\x00\xff\xfc\x03\x02" + b"\0" * 99)
    transport.socket.shutdown(socket.SHUT_RDWR)
    association.abort()
    transport.socket.close()
    assert bench.files() == []
    assert send(bench, instance()) == [0]


def test_a_peer_that_falls_silent_in_a_pdu_is_cut_off(bench: Bench) -> None:
    association = bench.associate()
    transport = association.dul.socket
    assert transport is not None
    assert transport.socket is not None
    # 65,536 bytes were promised, all of one command set.
    header = b"\x04\x00\x00\x01\x00\x00" + b"\x00\x00\xff\xfc\x03\x01"
    transport.socket.sendall(header + bytes(100))
    server = bench.receiver._server
    assert server is not None
    wait_until(lambda: not server.active_associations, seconds=30)
    association.abort()


def test_a_taken_port_is_named(bench: Bench) -> None:
    port = bench.receiver.port
    other = ReceiverSettings(ae_title="WETREAD", host="127.0.0.1", port=port)
    with pytest.raises(ListenError, match=f"127.0.0.1:{port}"):
        Receiver(other, bench.database, bench.archive).start()


def test_the_port_of_a_receiver_that_is_not_started_is_an_error(tmp_path: Path) -> None:
    made = Bench(tmp_path)
    with pytest.raises(ListenError, match="not started"):
        _ = made.receiver.port
    made.database.close()


@given(st.binary(max_size=400), st.sampled_from([True, False]))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_give_a_header_or_a_header_error(content: bytes, explicit: bool) -> None:
    syntax = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    try:
        header = read_header(content, syntax)
    except HeaderError:
        return
    assert isinstance(header, Header)


@given(st.binary(max_size=40), st.integers(0, 200))
@settings(deadline=None, max_examples=200)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_data_set_gives_a_header_or_a_header_error(noise: bytes, where: int) -> None:
    content = bytearray(encoded(instance()))
    content[where : where + len(noise)] = noise
    try:
        header = read_header(bytes(content), ExplicitVRLittleEndian)
    except HeaderError:
        return
    for uid in (header.study_uid, header.sop_instance_uid, header.series_uid):
        assert checked_uid(uid, "UID") == uid


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(40 * 1024 * 1024)) + packer.flush()
    with pytest.raises(HeaderError):
        read_header(bomb, DeflatedExplicitVRLittleEndian)


@given(st.text(max_size=80))
def test_no_text_but_a_uid_becomes_a_path(value: str) -> None:
    try:
        assert checked_uid(value, "UID") == value
    except InvalidUID:
        return
    assert set(value) <= set("0123456789.")
    assert ".." not in value


def seconds_until_due(bench: Bench) -> float:
    due = datetime.fromisoformat(bench.study()["due_at"])
    return (due - datetime.now(UTC)).total_seconds()


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
