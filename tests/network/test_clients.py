"""The clients that everybody has: DCMTK's and pynetdicom's programs, as they come."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import AE

from scp.tls import server_context
from tests.certificates import Authority
from tests.dicomfiles import image
from tests.receivable import STUDY, ReceivingNode, data_set_of

pytestmark = pytest.mark.skipif(
    shutil.which("dcmcjpls") is None, reason="DCMTK is not installed: apt-get install dcmtk"
)
needs_openssl = pytest.mark.skipif(
    not Authority.installed(), reason="openssl is not installed: apt-get install openssl"
)

# What makes storescu propose a transfer syntax, by what the files are called here.
PROPOSE = {
    "explicit": "-xe",
    "implicit": "-xi",
    "big-endian": "-xb",
    "deflated": "-xd",
    "rle": "-xr",
    "jpeg-2000": "-xv",
    "jpeg-lossless": "-xs",
    "jpeg-baseline": "-xy",
    "jpeg-ls": "-xt",
}
UNCOMPRESSED = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
Files = dict[str, Path]


def run(*command: str | Path) -> str:
    """Run a program that must succeed; what it says."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def picture(number: int, sop_class: UID = CTImageStorage, side: int = 64) -> Dataset:
    """An 8-bit picture, for JPEG Baseline takes no more."""
    made = image(
        np.random.default_rng(number).integers(0, 255, (side, side), np.uint8),
        number=number,
        study=STUDY,
    )
    made.SOPClassUID = sop_class
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One instance in each transfer syntax."""
    folder = tmp_path_factory.mktemp("files")
    made = {name: folder / f"{name}.dcm" for name in PROPOSE}
    for number, name in enumerate(made, start=1):
        one = picture(number)
        if name in UNCOMPRESSED:
            one.file_meta.TransferSyntaxUID = UNCOMPRESSED[name]
        elif name == "rle":
            one.compress(RLELossless, generate_instance_uid=False)
        elif name == "jpeg-2000":
            one.PixelData = encapsulate([encode_array(one.pixel_array)])
            one["PixelData"].is_undefined_length = True
            one.file_meta.TransferSyntaxUID = JPEG2000Lossless
        one.save_as(made[name], enforce_file_format=True)
    run("dcmcjpeg", "+e1", "+ua", made["jpeg-lossless"], made["jpeg-lossless"])
    run("dcmcjpeg", "+eb", "+ua", made["jpeg-baseline"], made["jpeg-baseline"])
    run("dcmcjpls", made["jpeg-ls"], made["jpeg-ls"])
    return made


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    """A receiver that listens."""
    made = ReceivingNode(tmp_path / "node")
    with made.receiver:
        yield made
    made.database.close()


def call(node: ReceivingNode, program: str, *arguments: str | Path) -> str:
    """Call a node with one of DCMTK's programs; files come last."""
    options = [each for each in arguments if not isinstance(each, Path)]
    sent = [each for each in arguments if isinstance(each, Path)]
    address = ["-aec", "WETREAD", "127.0.0.1", str(node.receiver.port)]
    return run(program, *options, *address, *sent)


def pynetdicom(node: ReceivingNode, program: str, *arguments: str | Path) -> str:
    """Call a node with one of pynetdicom's programs."""
    address = ["-aec", "WETREAD", "127.0.0.1", str(node.receiver.port)]
    return run(sys.executable, "-m", "pynetdicom", program, *address, *arguments)


def assert_stored(node: ReceivingNode, *sent: Path) -> None:
    """These files are stored and no other, each data set byte for byte and in its syntax."""
    stored = node.stored()
    assert len(stored) == len(sent)
    for path in sent:
        meta = dcmread(path, stop_before_pixels=True).file_meta
        file = stored[meta.MediaStorageSOPInstanceUID]
        ours, theirs = data_set_of(file), data_set_of(path.read_bytes())
        syntax = dcmread(BytesIO(file), stop_before_pixels=True).file_meta.TransferSyntaxUID
        assert syntax == meta.TransferSyntaxUID
        if syntax == DeflatedExplicitVRLittleEndian:  # each packs as it likes
            ours, theirs = inflated(ours), inflated(theirs)
        assert ours == theirs, path.name


def inflated(data_set: bytes) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set)


@pytest.mark.parametrize("name", PROPOSE)
def test_storescu_sends_each_transfer_syntax(node: ReceivingNode, files: Files, name: str) -> None:
    call(node, "storescu", PROPOSE[name], files[name])
    assert_stored(node, files[name])


def test_dcmsend_sends_many_transfer_syntaxes_at_once(node: ReceivingNode, files: Files) -> None:
    """All but those that it offers to convert to Explicit VR Little Endian."""
    sent = [path for name, path in files.items() if name not in ("implicit", "big-endian")]
    call(node, "dcmsend", "--decompress-never", *sent)
    assert_stored(node, *sent)


def test_dcmsend_converts_as_it_likes(node: ReceivingNode, files: Files) -> None:
    call(node, "dcmsend", *files.values())
    stored = node.stored()
    assert len(stored) == len(files)
    for path in files.values():
        sent = dcmread(path)
        ours = dcmread(BytesIO(stored[sent.SOPInstanceUID]))
        assert np.array_equal(ours.pixel_array, sent.pixel_array), path.name


def test_all_of_them_at_once(node: ReceivingNode, files: Files) -> None:
    with ThreadPoolExecutor() as pool:
        calls = [
            pool.submit(call, node, "dcmsend", files["explicit"]),
            pool.submit(pynetdicom, node, "storescu", "-cx", files["jpeg-2000"]),
            pool.submit(call, node, "echoscu"),
            *(
                pool.submit(call, node, "storescu", "-R", PROPOSE[name], files[name])
                for name in ("implicit", "big-endian", "deflated", "jpeg-baseline")
            ),
        ]
        for each in calls:
            each.result()
    sent = ("explicit", "jpeg-2000", "implicit", "big-endian", "deflated", "jpeg-baseline")
    assert_stored(node, *(files[name] for name in sent))


def test_echoes(node: ReceivingNode) -> None:
    call(node, "echoscu")
    call(node, "echoscu", "--repeat", "5", "--propose-pc", "128")
    pynetdicom(node, "echoscu")


def test_storescu_proposes_128_presentation_contexts(
    node: ReceivingNode, files: Files, tmp_path: Path
) -> None:
    """The class that is sent stands in the last of them."""
    contexts = [
        *(f"PresentationContext{number} = MRImageStorage\\Each" for number in range(1, 128)),
        "PresentationContext128 = CTImageStorage\\Each",
    ]
    config = tmp_path / "contexts.cfg"
    config.write_text(
        "[[TransferSyntaxes]]\n[Each]\nTransferSyntax1 = LittleEndianExplicit\n"
        "[[PresentationContexts]]\n[All]\n" + "\n".join(contexts) + "\n"
        "[[Profiles]]\n[All]\nPresentationContexts = All\n"
    )
    said = call(node, "storescu", "-d", "-xf", str(config), "All", files["explicit"])
    assert len(re.findall(r"Context ID: +\d+ \(Proposed\)", said)) == 128
    assert len(re.findall(r"Context ID: +\d+ \(Accepted\)", said)) == 128
    assert_stored(node, files["explicit"])


@pytest.mark.parametrize("options", [[], ["-R"], ["+C"]], ids=["all", "required", "combined"])
def test_storescu_proposes_in_each_of_its_ways(
    node: ReceivingNode, files: Files, options: list[str]
) -> None:
    call(node, "storescu", *options, files["explicit"])
    assert_stored(node, files["explicit"])


@needs_openssl
@pytest.mark.parametrize("certificate", [True, False], ids=["certificate", "anonymous"])
def test_storescu_over_tls(tmp_path: Path, files: Files, certificate: bool) -> None:
    authority = Authority(tmp_path / "clinic")
    ours, theirs = authority.issue("wetread"), authority.issue("ct")
    ca = authority.certificate if certificate else ""
    node = ReceivingNode(tmp_path, tls=server_context(ours.certificate, ours.key, ca))
    secured = ["+tls", theirs.key, theirs.certificate] if certificate else ["+tla"]
    sent = files["explicit"], files["implicit"]
    with node.receiver:
        call(node, "storescu", *secured, "+cf", authority.certificate, sent[0])
        call(node, "echoscu", *secured, "+cf", authority.certificate)
        call(node, "storescu", "-xi", *secured, "+cf", authority.certificate, sent[1])
    assert_stored(node, *sent)
    node.database.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 4 MB: a thousand of the shortest PDUs."""
    path = tmp_path_factory.mktemp("large") / "large.dcm"
    picture(99, MRImageStorage, side=2048).save_as(path, enforce_file_format=True)
    return path


def test_storescu_with_the_shortest_pdus(node: ReceivingNode, large: Path) -> None:
    call(node, "storescu", "--max-pdu", "4096", "--max-send-pdu", "4096", large)
    assert_stored(node, large)


def test_dcmsend_with_the_shortest_pdus(node: ReceivingNode, large: Path) -> None:
    call(node, "dcmsend", "--max-pdu", "4096", "--max-send-pdu", "4096", large)
    assert_stored(node, large)


@pytest.mark.parametrize("maximum", [0, 4096, 16_382, 131_072])
def test_pynetdicom_with_pdus_of_any_length(node: ReceivingNode, large: Path, maximum: int) -> None:
    """What it takes; what it sends is as long as we take."""
    ae = AE("CONSOLE")
    ae.maximum_pdu_size = maximum
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", node.receiver.port, ae_title="WETREAD")
    assert association.is_established
    assert association.send_c_store(large).Status == 0
    association.release()
    assert_stored(node, large)


@pytest.mark.parametrize("name", ["explicit", "implicit", "big-endian", "jpeg-2000", "rle"])
def test_pynetdicoms_storescu(node: ReceivingNode, files: Files, name: str) -> None:
    pynetdicom(node, "storescu", "-cx", "--max-pdu", "4096", files[name])
    assert_stored(node, files[name])


def test_pynetdicoms_storescu_with_all_its_contexts(node: ReceivingNode, files: Files) -> None:
    pynetdicom(node, "storescu", files["explicit"])
    assert len(node.stored()) == 1
