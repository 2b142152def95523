"""Retention: which files are here, and what finds and removes the oldest studies by index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("study", sa.Column("purged_at", sa.Double(), nullable=True))
    for name, condition in (
        ("ix_study_kept", sa.text("purged_at is null")),
        ("ix_study_purged", sa.text("purged_at is not null")),
    ):
        op.create_index(
            name,
            "study",
            ["last_received_at"],
            unique=False,
            sqlite_where=condition,
            postgresql_where=condition,
        )
    op.add_column(
        "instance",
        sa.Column("state", sa.String(length=16), nullable=False, server_default="stored"),
    )
    # A row that is removed is looked for wherever it may be referenced.
    op.create_index(
        "ix_job_input_sop_instance_uid", "job_input", ["sop_instance_uid"], unique=False
    )
    op.create_index("ix_delivery_result_id", "delivery", ["result_id"], unique=False)
    op.create_index("ix_delivery_form_result_id", "delivery_form", ["result_id"], unique=False)
