"""Settings: defaults, file, environment, and what is said of wrong ones."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from delivery.associate import Peer
from delivery.dicomweb import WebPeer
from scp.access import Caller, Rejected
from scp.passcode import hashed
from wetread.config import Settings, load
from wetread.origin import ConfigError, find_file
from wetread.peers import destination_peer, parse_peer, web_peer
from wetread.roles import receiver_settings
from wetread.sections import PeerSection
from wetread.template import TEMPLATE


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    for name in list(os.environ):
        if name.upper().startswith("WETREAD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(content: str, name: str = "wetread.toml") -> Path:
    file = Path.cwd() / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content, "utf-8")
    return file


def refusal(content: str) -> str:
    """What is said of a settings file that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load(write(content))
    return str(caught.value)


def test_the_template_states_the_defaults() -> None:
    written = tomllib.loads(TEMPLATE)
    defaults = Settings().model_dump(mode="json")
    assert set(written) == set(defaults) - {"peer"}  # one that is listed shuts the others out
    for section in set(written) - {"destination", "database"}:
        assert written[section] == defaults[section], section
    assert set(written["database"]) == set(defaults["database"])


def test_the_template_states_the_defaults_of_a_peer_in_comments() -> None:
    section = re.search(r"^# \[\[peer\]\]\n(# .*\n)+", TEMPLATE, re.MULTILINE)
    assert section is not None
    (peer,) = tomllib.loads(section[0].replace("\n# ", "\n").removeprefix("# "))["peer"]
    assert PeerSection(**peer) == PeerSection(name="ct1", ae_title="CT1")
    assert set(peer) == set(PeerSection.model_fields)


def test_the_template_loads_to_what_no_file_loads_to() -> None:
    without = load()
    with_template = load(write(TEMPLATE))
    assert with_template.model_dump() | {"destination": []} == without.model_dump()
    (destination,) = with_template.destination
    assert (destination.name, destination.port) == ("pacs", 4242)


def test_paths_are_relative_to_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write(
        '[node]\ndata_dir = "data"\n[models]\nfolders = ["models", "/srv/models"]\n',
        "site/wetread.toml",
    )
    monkeypatch.chdir("/")
    settings = load(file)
    assert settings.node.data_dir == tmp_path / "site" / "data"
    assert settings.models.folders == [tmp_path / "site" / "models", Path("/srv/models")]
    assert settings.database.url == f"sqlite:///{tmp_path}/site/data/wetread.db"


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("sqlite:///jobs.db", "sqlite:///{folder}/jobs.db"),
        ("sqlite:////var/lib/jobs.db", "sqlite:////var/lib/jobs.db"),
        ("postgresql+psycopg://u:p@host/name", "postgresql+psycopg://u:p@host/name"),
    ],
)
def test_the_database_is_relative_to_the_file_too(
    url: str, resolved: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write(f'[database]\nurl = "{url}"\n')
    monkeypatch.chdir("/")
    assert load(file).database.url == resolved.format(folder=tmp_path)


def test_without_a_file_paths_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    assert load().node.data_dir == tmp_path / "wetread-data"


def test_which_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_file(None) is None
    default = write("[node]\nport = 1001\n")
    assert load().node.port == 1001
    named = write("[node]\nport = 1002\n", "named.toml")
    monkeypatch.setenv("WETREAD_CONFIG", str(named))
    assert load().node.port == 1002
    assert load(default).node.port == 1001


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such file; 'wetread config init"):
        load(Path("none.toml"))
    monkeypatch.setenv("WETREAD_CONFIG", "away.toml")
    with pytest.raises(ConfigError, match=r"away\.toml: no such file"):
        load()
    with pytest.raises(ConfigError, match="no such file"):
        load(Path.cwd())  # a folder


@pytest.mark.parametrize("content", [b"[node", b"port = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml(content: bytes) -> None:
    file = Path("wetread.toml")
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"wetread\.toml: not valid TOML: "):
        load(file)


DESTINATION = '[[destination]]\nname = "{}"\nae_title = "PACS"\nhost = "h"\nport = 104\n'
WEB = '[[destination]]\nname = "a"\nurl = "http://pacs/dicom-web"\n'
PEER = '[[peer]]\nname = "ct1"\nae_title = "CT1"\n'

WRONG: list[tuple[str, str]] = [
    ("[node]\nport = 0", "node.port: Input should be greater than or equal to 1"),
    ("[node]\nport = 65536", "node.port: Input should be less than or equal to 65535"),
    ('[node]\nport = "dicom"', "node.port: Input should be a valid integer"),
    ('[node]\nhost = ""', "node.host: String should have at least 1 character"),
    ('[node]\nae_title = ""', "node.ae_title: must have 1 to 16 ASCII characters"),
    ('[node]\nae_title = "    "', "node.ae_title: must have 1 to 16"),
    ('[node]\nae_title = "SEVENTEEN-LETTERS"', "node.ae_title: must have 1 to 16"),
    ('[node]\nae_title = "A\\\\B"', "node.ae_title: must have 1 to 16"),
    ('[node]\nae_title = "R\u00d6NTGEN"', "node.ae_title: must have 1 to 16"),
    ('[node]\nae_title = "A\\tB"', "node.ae_title: must have 1 to 16"),
    ("[node]\naet = 'X'", "node.aet: no such setting; see 'wetread config init'"),
    ("[nodes]\nport = 1", "nodes: no such setting"),
    ("port = 1", "port: no such setting"),
    ("node = 5", "node: Input should be a valid dictionary"),
    ('[database]\nurl = "mysql://x"', "database.url: must start with sqlite:/// or postgresql"),
    ('[database]\nurl = "postgresql+psycopg://u:pw@h:port/x"', "database.url: is no URL such as"),
    ("[study]\nquiet_seconds = { CR = -1 }", "study.quiet_seconds.CR: Input should be greater"),
    ("[study]\nquiet_seconds = 5", "study.quiet_seconds: Input should be a valid dictionary"),
    ("[study]\nrelease_seconds = 86401", "study.release_seconds: Input should be less than"),
    ("[study]\nrelease_seconds = nan", "study.release_seconds: Input should be"),
    ("[worker]\nprocesses = -1", "worker.processes"),
    ("[worker]\nprocesses = 65", "worker.processes"),
    ("[worker]\nlease_seconds = 1", "worker.lease_seconds"),
    ("[worker]\nattempts = 0", "worker.attempts"),
    ("[worker]\nretry_seconds = -1", "worker.retry_seconds"),
    ("[worker]\nretry_longest_seconds = -1", "worker.retry_longest_seconds"),
    ("[delivery]\nattempts = 0", "delivery.attempts"),
    ("[delivery]\nretry_seconds = -1", "delivery.retry_seconds"),
    ("[delivery]\nretry_longest_seconds = 86401", "delivery.retry_longest_seconds"),
    ("[delivery]\nlease_seconds = 9", "delivery.lease_seconds"),
    ("[delivery]\nbatch = 0", "delivery.batch"),
    ('[models]\nfolders = "models"', "models.folders"),
    ("[models]\ndisabled = 'x'", "models.disabled"),
    ('[log]\nlevel = "chatty"', "log.level"),
    ("[log]\njson_lines = 7", "log.json_lines"),
    ('[audit]\npatient = "name"', "audit.patient: Input should be 'none' or 'id'"),
    ('[audit]\nca = "ca.pem"', "audit: ca and certificate are for syslog_host"),
    ('[audit]\nsyslog_host = "h"\nkey = "k"', "audit: certificate and key go together"),
    ("[audit]\nfile_megabytes = 0", "audit.file_megabytes: Input should be greater than 0"),
    ("[audit]\nspool_days = 0", "audit.spool_days: Input should be greater than 0"),
    ("[[destination]]\nname = 'x'", "destination.0: needs ae_title, host and port (C-STORE), or"),
    (WEB + "ae_title = 'X'", "destination.0: has either ae_title, host and port"),
    (WEB + "port = 104", "destination.0: has either ae_title, host and port"),
    (WEB + "port = 0", "destination.0.port: Input should be greater"),
    (WEB + "commitment = true", "destination.0: commitment: there is no storage commitment over"),
    (WEB + "tls = true", "destination.0: tls and server_name: a url says both; begin it with"),
    (WEB + "server_name = 'x'", "destination.0: tls and server_name: a url says both"),
    (WEB + "ca = 'ca.pem'", "destination.0: ca, certificate and key need a url that begins with"),
    (WEB + "user = 'u'", "destination.0: user needs secret_file"),
    (WEB + "user = 'u:pw@'\nsecret_file = 'f'", "destination.0: user: must not hold a colon"),
    (DESTINATION.format("a") + "secret_file = 'f'", "user and secret_file are for url"),
    (WEB.replace("pacs/", "u:pw@pacs/"), "destination.0.url: holds a user; give it as user"),
    (WEB.replace("http:", "ftp:"), "destination.0.url: is no URL such as https://"),
    (WEB.replace("//pacs", "//"), "destination.0.url: is no URL such as"),
    (WEB.replace("pacs/", "pacs:port/"), "destination.0.url: is no URL such as"),
    (WEB.replace("pacs/", "pacs:99999/"), "destination.0.url: is no URL such as"),
    (WEB.replace("pacs/", "pa cs/"), "destination.0.url: is no URL such as"),
    (WEB.replace("dicom-web", "dicom-web?x=1"), "destination.0.url: must end before '?' and '#'"),
    ("[tls]\ncertificate = 'a.pem'", "tls: certificate and key go together"),
    ("[tls]\nca = 'ca.pem'", "tls: ca needs certificate and key"),
    ("[tls]\nport = 0", "tls.port: Input should be greater"),
    (
        "[tls]\ncertificate = 'a'\nkey = 'b'\nport = 11112\nrequire = false",
        "tls.port: must differ from node.port",
    ),
    ("[[peer]]\nname = 'x'", "peer.0.ae_title: Field required"),
    ("[[peer]]\nname = 'a b'\nae_title = 'X'", "peer.0.name: String should match"),
    (PEER + "networks = ['10.0.0.5/24']", "peer.0.networks.0: value is not a valid IPv4 or IPv6"),
    (PEER + "networks = ['ct1.clinic']", "peer.0.networks.0: value is not a valid IPv4 or IPv6"),
    (PEER + "called = ['A\\\\B']", "peer.0.called.0: must have 1 to 16"),
    (PEER + "user = 'u'\npasscode_hash = 'pw@'", "peer.0.passcode_hash: must be a hash as"),
    (PEER + "passcode = 'pw@'", "peer.0.passcode: no such setting"),
    (PEER + f"passcode_hash = '{hashed(b'x')}'", "peer.0: passcode_hash needs user"),
    (PEER + "sop_classes = ['CT']", "peer.0.sop_classes: 'CT' is no storage SOP class"),
    (PEER + "sop_classes = ['1.2.840.10008.1.1']", "is no storage SOP class"),
    (PEER + "object_megabytes = -1", "peer.0.object_megabytes: Input should be"),
    (PEER + "megabytes_per_second = inf", "peer.0.megabytes_per_second: Input should be"),
    (PEER + "associations = -1", "peer.0.associations: Input should be"),
    (PEER + "certificate = 'ct1'", "tls.ca: peer 'ct1' must show a certificate"),
    (PEER * 2, "peer: two peers have the same name"),
    (PEER + PEER.replace("ct1", "ct2"), "peer: 'ct1' and 'ct2' have the same AE title and no"),
    (DESTINATION.format("a") + "ca = 'ca.pem'", "destination.0: ca, certificate, key and server"),
    (DESTINATION.format("a") + "tls = true\nkey = 'k'", "certificate and key go together"),
    ("[destination]\nname = 'x'", "destination: Input should be a valid list"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_what_is_wrong_is_named_with_file_and_key(content: str, message: str) -> None:
    said = refusal(content)
    assert message in said
    assert all(line.startswith(f"{Path.cwd() / 'wetread.toml'}: ") for line in said.splitlines())
    assert "Value error" not in said
    assert "pw@" not in said


def test_destinations_have_names_of_their_own() -> None:
    assert "two destinations have the same name" in refusal(DESTINATION.format("a") * 2)
    assert "destination.0.name" in refusal(DESTINATION.format("a b"))
    settings = load(write(DESTINATION.format("a") + DESTINATION.format("b")))
    assert [each.name for each in settings.destination] == ["a", "b"]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(refusal("[node]\nport = 0\nhost = ''\n[log]\nlevel = 'x'\n").splitlines()) == 3


def test_peers_shut_everyone_else_out() -> None:
    gate = load(
        write(PEER + 'networks = ["10.0.0.0/8"]\nsop_classes = ["CTImageStorage"]\n')
    ).gate()
    admitted = gate.admit(Caller(calling_ae="CT1", called_ae="WETREAD", address="10.1.2.3"))
    assert admitted.peer == "ct1"
    assert admitted.sop_classes == frozenset({"1.2.840.10008.5.1.4.1.1.2"})
    assert admitted.object_bytes is None
    assert admitted.bytes_per_second is None
    with pytest.raises(Rejected):
        gate.admit(Caller(calling_ae="CT2", called_ae="WETREAD", address="10.1.2.3"))


def test_limits_are_given_in_megabytes() -> None:
    limits = "object_megabytes = 0.5\nmegabytes_per_second = 20\nassociations = 2\n"
    rule = load(write(PEER + 'called = ["AI"]\n' + limits)).peer[0].rule("WETREAD")
    assert (rule.object_bytes, rule.bytes_per_second, rule.associations) == (500_000, 2e7, 2)
    assert rule.called == {"AI"}


def test_a_passcode_hash_is_not_shown() -> None:
    stored = hashed(b"open sesame")
    settings = load(write(PEER + f'user = "u"\npasscode_hash = "{stored}"\n'))
    assert stored not in repr(settings)
    assert stored not in settings.model_dump_json()
    assert settings.peer[0].rule("X").passcode_hash == stored


def test_peers_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WETREAD_PEER", '[{"name": "mr1", "ae_title": "MR1"}]')
    assert [each.name for each in load(write(PEER)).peer] == ["mr1"]
    monkeypatch.setenv("WETREAD_TLS__PORT", "2763")
    assert load().tls.port == 2763


def test_certificates_are_relative_to_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = "certificate = 'tls/a.pem'\nkey = '/etc/a.key'\n"
    file = write(f"[tls]\n{ours}" + DESTINATION.format("a") + f"tls = true\n{ours}")
    monkeypatch.chdir("/")
    settings = load(file)
    for each in (settings.tls, settings.destination[0]):
        assert (each.certificate, each.key) == (f"{tmp_path}/tls/a.pem", "/etc/a.key")
        assert each.ca == ""


def test_spaces_around_an_ae_title_mean_nothing() -> None:
    assert load(write('[node]\nae_title = " MY NODE "')).node.ae_title == "MY NODE"
    assert load(write('[node]\nae_title = "SIXTEEN-LETTERS!"')).node.ae_title == "SIXTEEN-LETTERS!"


def test_the_environment_goes_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[node]\nport = 1001\nae_title = "FILE"\n[study]\nquiet_seconds = { CR = 7, CT = 60 }\n')
    monkeypatch.setenv("WETREAD_NODE__PORT", "1002")
    monkeypatch.setenv("WETREAD_STUDY__QUIET_SECONDS__CR", "9")
    monkeypatch.setenv("WETREAD_LOG__JSON_LINES", "true")
    monkeypatch.setenv("WETREAD_MODELS__FOLDERS", '["a"]')
    settings = load()
    assert settings.node.port == 1002
    assert settings.node.ae_title == "FILE"
    assert settings.study.quiet_seconds == {"default": 30.0, "CR": 9.0, "DX": 5.0, "CT": 60.0}
    assert settings.log.json_lines
    assert settings.models.folders == [Path.cwd() / "a"]


def test_the_environment_alone_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    destination = '[{"name": "pacs", "ae_title": "ORTHANC", "host": "pacs", "port": 4242}]'
    monkeypatch.setenv("WETREAD_DESTINATION", destination)
    monkeypatch.setenv("WETREAD_STUDY__QUIET_SECONDS__DEFAULT", "11")
    monkeypatch.setenv("WETREAD_STUDY__QUIET_SECONDS__CR", "12")
    settings = load()
    assert settings.destination[0].host == "pacs"
    receiver = receiver_settings(settings)
    assert [receiver.quiet(each) for each in ("CR", "DX", "MG")] == [12, 5, 11]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WETREAD_NODE__PORT", "99999", "variable WETREAD_NODE__PORT: node.port: Input should be"),
        ("WETREAD_NODE__PORT", "", "variable WETREAD_NODE__PORT: node.port: Input should be a"),
        ("WETREAD_NODE__AET", "X", "WETREAD_NODE__AET: node.aet: no such setting"),
        ("WETREAD_NODES__PORT", "1", "WETREAD_NODES__PORT: no such section"),
        ("WETREAD_NODE", "no json", 'environment: error parsing value for field "node"'),
        ("WETREAD_MODELS__FOLDERS", "/srv", "a section or list is given as JSON"),
        ("WETREAD_DESTINATION", '[{"name": "x"}]', "WETREAD_DESTINATION: destination.0: needs"),
        ("WETREAD_DESTINATION__0__PORT", "1", "environment: destination: "),
    ],
)
def test_a_wrong_variable_is_named_though_the_file_has_its_section(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    write("[node]\nport = 1001\n[study]\nrelease_seconds = 1\n")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert message in str(caught.value)
    assert "wetread.toml" not in str(caught.value)


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WETREAD_DATA", "WETREAD_SERVICE_HOST", "WETREAD_PORT_104_TCP", "NODE__PORT"):
        monkeypatch.setenv(name, "x")
    assert load() == load(write(""))


def test_settings_are_frozen() -> None:
    settings: Any = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.node.port = 5


@pytest.fixture
def settings() -> Settings:
    return load(write(DESTINATION.format("pacs") + '[node]\nae_title = "ME"\n'))


def test_a_peer_is_a_destination_or_an_address(settings: Settings) -> None:
    by_name = parse_peer(settings, "pacs")
    assert by_name == destination_peer(settings, settings.destination[0])
    assert str(by_name) == "PACS@h:104"
    by_address = parse_peer(settings, "OTHER NODE@10.0.0.1:11112")
    assert isinstance(by_address, Peer)
    assert (by_address.ae_title, by_address.host, by_address.port) == (
        "OTHER NODE",
        "10.0.0.1",
        11112,
    )
    assert by_address.calling_ae_title == "ME"
    assert str(parse_peer(settings, "A@[::1]:104")) == "A@::1:104"


def test_a_destination_may_be_a_url(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    settings = load(write(WEB.replace("web", "web/") + "user = 'u'\nsecret_file = 'secret'\n"))
    (destination,) = settings.destination
    assert destination.secret_file == str(tmp_path / "secret")
    peer = parse_peer(settings, "a")
    assert isinstance(peer, WebPeer)
    assert str(peer) == "http://pacs/dicom-web"
    assert "sesame" not in repr(peer) + settings.model_dump_json()
    assert peer.tls is None
    assert peer.credentials is not None
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match="secret: cannot be read: No such file"):
        parse_peer(settings, "a")


def test_a_url_that_begins_with_https_is_secured() -> None:
    (destination,) = load(write(WEB.replace("http:", "https:"))).destination
    assert destination.secured
    assert web_peer(destination).tls is not None


@pytest.mark.parametrize(
    "text",
    ["nobody", "", "A@host", "A@host:0", "A@host:65536", "@host:104", "A@:104", "A@b@c:104",
     "SEVENTEEN-LETTERS@host:104", "A@host:port"],
)  # fmt: skip
def test_what_is_no_peer_is_told_with_what_is(settings: Settings, text: str) -> None:
    with pytest.raises(ConfigError, match=r"neither a destination \(pacs\) nor AET@host:port"):
        parse_peer(settings, text)
