"""All checks, in the order in which they run."""

from __future__ import annotations

from wetread.doctor import (
    audit,
    configuration,
    database,
    destinations,
    models,
    receiver,
    roundtrip,
    running,
    storage,
)
from wetread.doctor.examination import Check

CHECKS = (
    Check(
        name="settings",
        area="Settings",
        looks_at="the settings file, its permissions, environment variables over it",
        look=configuration.settings,
    ),
    Check(
        name="files",
        area="Settings",
        looks_at="certificates, keys and secrets: readable by whom, belonging together, until when",
        look=configuration.files,
    ),
    Check(
        name="audit",
        area="Settings",
        looks_at="the audit trail's file, and its server over TLS",
        look=audit.audit,
    ),
    Check(
        name="database",
        area="Database",
        looks_at="whether it answers, and how fast",
        look=database.reachable,
    ),
    Check(
        name="schema",
        area="Database",
        looks_at="its schema version against the program's",
        look=database.schema,
        needs=("database",),
    ),
    Check(
        name="clock",
        area="Database",
        looks_at="the clocks of this host and of every process against the database's",
        look=database.clock,
        needs=("schema",),
    ),
    Check(
        name="archive",
        area="Data folder",
        looks_at="whether it can be written, and the file system that it lies on",
        look=storage.archive,
    ),
    Check(
        name="speed",
        area="Data folder",
        looks_at="megabytes and fsyncs per second",
        look=storage.speed,
        needs=("archive",),
    ),
    Check(
        name="space",
        area="Data folder",
        looks_at="free space against `free_megabytes`, and free inodes",
        look=storage.space,
    ),
    Check(
        name="time-left",
        area="Data folder",
        looks_at="how long the free space lasts at the rate of the last day",
        look=storage.time_left,
        needs=("schema", "archive"),
    ),
    Check(
        name="roles",
        area="Processes",
        looks_at="who runs, who fell silent, and which versions",
        look=running.roles,
        needs=("schema",),
    ),
    Check(
        name="queue",
        area="Processes",
        looks_at="leases that the dead hold, what was given up, pauses, destinations away",
        look=running.queue,
        needs=("schema",),
    ),
    Check(
        name="models",
        area="Models",
        looks_at="each package's manifest, hash and graph, and a run of it",
        look=models.models,
        seconds=300.0,
    ),
    Check(
        name="devices",
        area="Models",
        looks_at="the GPU, and whether the runtime and the workers really use it",
        look=models.devices,
        needs=("schema",),
    ),
    Check(
        name="pixels",
        area="Models",
        looks_at="decoders of compressed pixels",
        look=models.pixels,
    ),
    Check(
        name="receiver",
        area="Network",
        looks_at="C-ECHO to ourselves on each port, called as a listed peer, and its TLS",
        look=receiver.receiver,
    ),
    Check(
        name="destinations",
        area="Network",
        looks_at="TCP, TLS, association, C-ECHO, each SOP class that would be sent, C-FIND, "
        "storage commitment; QIDO-RS where a url is given",
        look=destinations.destinations,
        seconds=300.0,
    ),
    Check(
        name="peers",
        area="Network",
        looks_at="C-ECHO back to each `[[peer]]` with a host",
        look=destinations.peers,
        seconds=300.0,
    ),
    Check(
        name="round-trip",
        area="Round trip",
        looks_at="a marked test study: received, read, delivered, committed, and the seconds",
        look=roundtrip.round_trip,
        needs=("schema", "receiver"),
        seconds=1000.0,
    ),
)
