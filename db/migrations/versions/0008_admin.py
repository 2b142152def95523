"""What administrators see: identities, processes, figures, accounts; and what was answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_instance_received_at", "instance", ["received_at"], unique=False)
    op.create_index("ix_delivery_sent_at", "delivery", ["sent_at"], unique=False)
    op.drop_index("ix_delivery_commit_at", "delivery")
    waiting = sa.text("commit_at is not null")
    op.create_index(
        "ix_delivery_commit_at",
        "delivery",
        ["destination", "commit_at"],
        unique=False,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index(
        "ix_delivery_committed_at",
        "delivery",
        ["committed_at"],
        unique=False,
        sqlite_where=sa.text("committed_at is not null"),
        postgresql_where=sa.text("committed_at is not null"),
    )
    op.add_column("job", sa.Column("answers", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("batch", sa.Integer(), nullable=True))
    op.create_index("ix_job_finished_at", "job", ["finished_at"], unique=False)
    _identities()
    _operation()
    _accounts()


def _identities() -> None:
    op.create_table(
        "identity",
        sa.Column("study_uid", sa.String(length=64), nullable=False),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("birth_date", sa.String(length=255), nullable=False),
        sa.Column("sex", sa.String(length=255), nullable=False),
        sa.Column("accession_number", sa.String(length=255), nullable=False),
        sa.Column("study_date", sa.String(length=255), nullable=False),
        sa.Column("study_time", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_uid"], ["study.study_uid"]),
        sa.PrimaryKeyConstraint("study_uid"),
    )
    for column in ("accession_number", "patient_id"):
        op.create_index(f"ix_identity_{column}", "identity", [column], unique=False)
    op.create_index(
        "ix_identity_name_key",
        "identity",
        ["name_key"],
        unique=False,
        postgresql_ops={"name_key": "text_pattern_ops"},
    )


def _operation() -> None:
    op.create_table(
        "disabled",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "process",
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_table(
        "figure",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("counted_at", sa.Double(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "meter",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.String(length=512), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("ix_session_account", "session", ["account"], unique=False)
