"""The tables. All times are seconds since 1970-01-01 UTC (double precision).

Patient data stands in one table alone, ``identity``; otherwise it stays in the archived files.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

UID = String(64)  # PS3.5 section 9.1


class JobState(StrEnum):
    """Where a job stands; see ``JOB_MOVES``."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    # Back to queued: a retry with backoff, or a lease that ran out or was given back.
    JobState.RUNNING: frozenset(
        {JobState.DONE, JobState.QUEUED, JobState.DEAD, JobState.CANCELLED}
    ),
    JobState.DONE: frozenset(),
    JobState.DEAD: frozenset({JobState.QUEUED}),  # by hand
    JobState.CANCELLED: frozenset({JobState.QUEUED}),  # by hand
    JobState.SKIPPED: frozenset(),
}


class DeliveryState(StrEnum):
    """Where one result object's way to one destination stands; see ``DELIVERY_MOVES``."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    COMMITTED = "committed"
    HELD = "held"
    DEAD = "dead"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


AT_DESTINATION = (DeliveryState.SENT, DeliveryState.COMMITTED)
"""The destination has the result."""

SETTLED = (*AT_DESTINATION, DeliveryState.SUPERSEDED)
"""Nothing is left to be sent."""

WAITING = (DeliveryState.PENDING, DeliveryState.SENDING)
"""The destination gets the result without anybody's help."""

DELIVERY_MOVES: dict[DeliveryState, frozenset[DeliveryState]] = {
    # Committed from there: the report came when it was given up already. Superseded, as from
    # every state in which it is not sent: a later reading replaces it (``db.superseding``).
    DeliveryState.PENDING: frozenset(
        {DeliveryState.SENDING, DeliveryState.COMMITTED, DeliveryState.SUPERSEDED}
    ),
    DeliveryState.SENDING: frozenset(
        {
            DeliveryState.SENT,
            DeliveryState.PENDING,
            DeliveryState.HELD,
            DeliveryState.DEAD,
            DeliveryState.REFUSED,
        }
    ),
    # Pending or dead: the destination did not commit to keeping it, or did not say so in time.
    DeliveryState.SENT: frozenset(
        {DeliveryState.COMMITTED, DeliveryState.PENDING, DeliveryState.DEAD}
    ),
    DeliveryState.COMMITTED: frozenset(),
    # Pending: looked at again; by hand, at once. Dead: by hand.
    DeliveryState.HELD: frozenset(
        {DeliveryState.PENDING, DeliveryState.DEAD, DeliveryState.SUPERSEDED}
    ),
    # Pending: by hand.
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.SUPERSEDED}),
    DeliveryState.REFUSED: frozenset({DeliveryState.PENDING, DeliveryState.SUPERSEDED}),
    DeliveryState.SUPERSEDED: frozenset(),
}


class InstanceState(StrEnum):
    """Whether the file of a received instance is here; see ``INSTANCE_MOVES``."""

    STORED = "stored"
    PURGED = "purged"
    """Retention removed it; see ``db.retention``."""
    LOST = "lost"
    """It was found missing or damaged; see ``db.orphans``."""


INSTANCE_MOVES: dict[InstanceState, frozenset[InstanceState]] = {
    InstanceState.STORED: frozenset({InstanceState.PURGED, InstanceState.LOST}),
    # Back to stored: it was sent again, and is taken as new.
    InstanceState.PURGED: frozenset({InstanceState.STORED}),
    InstanceState.LOST: frozenset({InstanceState.STORED}),
}


class Base(DeclarativeBase):
    """Declarative base; its metadata is what the migrations must produce."""


def _where(condition: str) -> dict[str, Any]:
    """Options of an index that holds some rows alone."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Study(Base):
    """A study that has at least one instance here.

    ``due_at`` is the one truth about completion: arriving instances push it out, the release of an
    association pulls it in, and taking the study for reading clears it. ``last_received_at`` moves
    with it, so it may be some seconds old. ``purged_at`` is set while all that it had is purged.
    """

    __tablename__ = "study"
    __table_args__ = (
        Index("ix_study_due_at", "due_at"),
        # Two, so that what asks for the oldest study of a kind need not pass over the other kind.
        Index("ix_study_kept", "last_received_at", **_where("purged_at is null")),
        Index("ix_study_purged", "last_received_at", **_where("purged_at is not null")),
    )

    study_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    first_received_at: Mapped[float] = mapped_column(Double)
    last_received_at: Mapped[float] = mapped_column(Double)
    due_at: Mapped[float | None] = mapped_column(Double)
    purged_at: Mapped[float | None] = mapped_column(Double)


class Identity(Base):
    """Whose study it is: what an authorised user searches by, and is shown. See ``db.identities``.

    Nothing else in the program reads it, and no log, metric or error may hold what is in it.
    """

    __tablename__ = "identity"
    __table_args__ = (
        Index("ix_identity_accession_number", "accession_number"),
        Index("ix_identity_patient_id", "patient_id"),
        # Whatever the collation, it serves a search by the beginning of a name.
        Index("ix_identity_name_key", "name_key", postgresql_ops={"name_key": "text_pattern_ops"}),
    )

    study_uid: Mapped[str] = mapped_column(ForeignKey("study.study_uid"), primary_key=True)
    patient_name: Mapped[str] = mapped_column(Text)
    name_key: Mapped[str] = mapped_column(Text)  # what a search by name compares
    patient_id: Mapped[str] = mapped_column(String(255))
    birth_date: Mapped[str] = mapped_column(String(255))
    sex: Mapped[str] = mapped_column(String(255))
    accession_number: Mapped[str] = mapped_column(String(255))
    study_date: Mapped[str] = mapped_column(String(255))
    study_time: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)


class Instance(Base):
    """One received SOP instance; ``path`` is relative to the data folder.

    Its row outlives its file: what a job read, and what a late image has lost for company, stays
    known as long as the study's results are.
    """

    __tablename__ = "instance"
    __table_args__ = (
        Index("ix_instance_study_uid", "study_uid"),
        Index("ix_instance_received_at", "received_at"),
    )

    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("study.study_uid"))
    series_uid: Mapped[str] = mapped_column(UID)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    modality: Mapped[str] = mapped_column(String(16))
    own: Mapped[bool] = mapped_column(Boolean)  # our own result, coming back
    size: Mapped[int] = mapped_column(BigInteger)  # bytes of the file
    digest: Mapped[str] = mapped_column(String(64))  # empty in newer rows; was SHA-256
    path: Mapped[str] = mapped_column(String(255))
    calling_ae: Mapped[str] = mapped_column(String(16))
    received_at: Mapped[float] = mapped_column(Double)
    state: Mapped[str] = mapped_column(String(16), server_default=InstanceState.STORED)


class Job(Base):
    """One model reading one state of one study.

    ``input_digest`` names the set of instances that is read, so that an unchanged study is not
    read twice and a study that grew is.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint(
            "study_uid", "model", "model_version", "input_digest", name="uq_job_input"
        ),
        Index("ix_job_state", "state", "id"),
        Index("ix_job_finished_at", "finished_at"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("study.study_uid"))
    model: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(64))
    input_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float] = mapped_column(Double)
    run_at: Mapped[float] = mapped_column(Double)  # not before
    started_at: Mapped[float | None] = mapped_column(Double)
    finished_at: Mapped[float | None] = mapped_column(Double)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[float | None] = mapped_column(Double)
    not_assessed: Mapped[str | None] = mapped_column(Text)  # JSON: images not read, and why
    traceback: Mapped[str | None] = mapped_column(
        Text
    )  # where the last attempt failed; see db.errors.trace
    answers: Mapped[str | None] = mapped_column(Text)  # JSON: what was said; inference.summary
    batch: Mapped[int | None] = mapped_column(Integer)  # how many jobs were read together


# In the order of claims, and without the jobs that are done.
Index(
    "ix_job_queued",
    Job.model,
    Job.model_version,
    Job.priority.desc(),
    Job.run_at,
    Job.id,
    postgresql_where=text("state = 'queued'"),
    sqlite_where=text("state = 'queued'"),
)

EVERYTHING = "*"


class Hold(Base):
    """A model whose jobs are not claimed, or ``EVERYTHING``."""

    __tablename__ = "hold"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[float] = mapped_column(Double)
    reason: Mapped[str | None] = mapped_column(Text)


class Disabled(Base):
    """A model that studies are not routed to, on whatever host."""

    __tablename__ = "disabled"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[float] = mapped_column(Double)
    reason: Mapped[str | None] = mapped_column(Text)


class JobInput(Base):
    """The instances a job reads."""

    __tablename__ = "job_input"
    __table_args__ = (Index("ix_job_input_sop_instance_uid", "sop_instance_uid"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(
        ForeignKey("instance.sop_instance_uid"), primary_key=True
    )


class Result(Base):
    """One DICOM object a job made.

    ``style`` names how it looks (language, banner); destinations may want different ones. ``rank``
    tells objects of equal kind and number apart: other styles, simpler SOP classes.
    """

    __tablename__ = "result"
    __table_args__ = (
        UniqueConstraint("job_id", "kind", "number", "rank", name="uq_result"),
        Index("ix_result_sop_instance_uid", "sop_instance_uid"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[str] = mapped_column(String(16))
    number: Mapped[int] = mapped_column(Integer)
    rank: Mapped[int] = mapped_column(Integer)
    style: Mapped[str] = mapped_column(String(16), server_default="")
    sop_class_uid: Mapped[str] = mapped_column(UID)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    path: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)


class Delivery(Base):
    """The outbox: one result on its way to one destination; see ``DeliveryForm``."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("job_id", "kind", "number", "destination", name="uq_delivery"),
        Index("ix_delivery_claim", "state", "destination", "run_at"),
        # Few wait for commitment; those that never do are most of the table.
        Index(
            "ix_delivery_commit_at",
            "destination",
            "commit_at",
            **_where("commit_at is not null"),
        ),
        Index("ix_delivery_transaction_uid", "transaction_uid"),
        Index("ix_delivery_result_id", "result_id"),
        Index("ix_delivery_sent_at", "sent_at"),
        Index("ix_delivery_committed_at", "committed_at", **_where("committed_at is not null")),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[str] = mapped_column(String(16))
    number: Mapped[int] = mapped_column(Integer)
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float] = mapped_column(Double)
    run_at: Mapped[float] = mapped_column(Double)
    unchecked: Mapped[bool] = mapped_column(Boolean, server_default=false())  # see outbox.retry
    sent_at: Mapped[float | None] = mapped_column(Double)
    result_id: Mapped[int | None] = mapped_column(ForeignKey("result.id"))  # what was sent
    # Storage commitment of what was sent; see ``db.confirmation``.
    commit_at: Mapped[float | None] = mapped_column(Double)  # when to ask, or to lose patience
    transaction_uid: Mapped[str | None] = mapped_column(UID)
    asked_at: Mapped[float | None] = mapped_column(Double)
    committed_at: Mapped[float | None] = mapped_column(Double)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[float | None] = mapped_column(Double)


# In the order of claims, and without the deliveries that are done.
Index(
    "ix_delivery_pending",
    Delivery.destination,
    Delivery.priority.desc(),
    Delivery.run_at,
    Delivery.id,
    **_where("state = 'pending'"),
)


class Outage(Base):
    """A destination that cannot be reached; without a row, it can. See ``db.outage``."""

    __tablename__ = "outage"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[float] = mapped_column(Double)
    probes: Mapped[int] = mapped_column(Integer)  # how often it was looked for in vain
    probe_at: Mapped[float] = mapped_column(Double)  # look for it again, not before
    reason: Mapped[str] = mapped_column(Text)


class DeliveryForm(Base):
    """The objects as which a delivery may be sent: the one of the lowest rank that is accepted."""

    __tablename__ = "delivery_form"
    __table_args__ = (Index("ix_delivery_form_result_id", "result_id"),)

    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(Integer, primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"))


class CommitmentState(StrEnum):
    """Where the answer to one storage commitment request stands; see ``COMMITMENT_MOVES``."""

    PENDING = "pending"
    REPORTING = "reporting"
    REPORTED = "reported"
    DEAD = "dead"


COMMITMENT_MOVES: dict[CommitmentState, frozenset[CommitmentState]] = {
    # Dead at once if nobody knows where the requester is.
    CommitmentState.PENDING: frozenset({CommitmentState.REPORTING, CommitmentState.DEAD}),
    # Back to pending: a retry with backoff, or a lease that ran out or was given back.
    CommitmentState.REPORTING: frozenset(
        {CommitmentState.REPORTED, CommitmentState.PENDING, CommitmentState.DEAD}
    ),
    CommitmentState.REPORTED: frozenset({CommitmentState.PENDING}),  # asked again
    CommitmentState.DEAD: frozenset({CommitmentState.PENDING}),  # asked again, or by hand
}


class Commitment(Base):
    """One storage commitment request, and its report on the way to who asked.

    ``number`` is 0 for the first request under a Transaction UID; other requests of the same
    sender under the same UID count up and are reported as failed.
    """

    __tablename__ = "commitment"
    __table_args__ = (
        UniqueConstraint("calling_ae", "transaction_uid", "number", name="uq_commitment"),
        Index("ix_commitment_claim", "state", "calling_ae", "run_at"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    calling_ae: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str] = mapped_column(UID)
    number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float] = mapped_column(Double)
    run_at: Mapped[float] = mapped_column(Double)  # not before
    reported_at: Mapped[float | None] = mapped_column(Double)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[float | None] = mapped_column(Double)


class CommitmentItem(Base):
    """An instance that a request asks about; ``failure`` is the reason that was reported."""

    __tablename__ = "commitment_item"

    commitment_id: Mapped[int] = mapped_column(ForeignKey("commitment.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    failure: Mapped[int | None] = mapped_column(Integer)  # PS3.3 C.14.1.1; null: none


class Process(Base):
    """A process of the node that runs, or did not say good-bye; see ``db.processes``."""

    __tablename__ = "process"

    owner: Mapped[str] = mapped_column(String(128), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    version: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[float] = mapped_column(Double)
    seen_at: Mapped[float] = mapped_column(Double)
    details: Mapped[str] = mapped_column(Text)  # JSON: what the role says of itself


class Figure(Base):
    """What is costly to count, as it was counted last; see ``db.figures``."""

    __tablename__ = "figure"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    counted_at: Mapped[float] = mapped_column(Double)
    value: Mapped[str] = mapped_column(Text)  # JSON


class Meter(Base):
    """A number that only grows, for ``/metrics``; it outlives the rows it was counted from."""

    __tablename__ = "meter"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[str] = mapped_column(String(512), primary_key=True)  # JSON, sorted
    value: Mapped[float] = mapped_column(Double)


class Account(Base):
    """Who may look at the dashboard; see ``db.accounts``."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(255))  # argon2id
    created_at: Mapped[float] = mapped_column(Double)
    changed_at: Mapped[float] = mapped_column(Double)  # sessions from before it are over
    failures: Mapped[int] = mapped_column(Integer)  # wrong passwords since the last right one
    failed_at: Mapped[float | None] = mapped_column(Double)


class Session(Base):
    """A login that is not over; the token itself is only in the browser."""

    __tablename__ = "session"
    __table_args__ = (Index("ix_session_account", "account"),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)  # SHA-256
    account: Mapped[str] = mapped_column(String(64))
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Double)
    seen_at: Mapped[float] = mapped_column(Double)
