"""Claims by index, models that are paused, and where a failed job failed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("job", sa.Column("traceback", sa.Text(), nullable=True))
    op.create_table(
        "hold",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.drop_index("ix_job_claim", "job")
    op.create_index("ix_job_state", "job", ["state", "id"])
    queued = sa.text("state = 'queued'")
    op.create_index(
        "ix_job_queued",
        "job",
        ["model", "model_version", sa.text("priority desc"), "run_at", "id"],
        postgresql_where=queued,
        sqlite_where=queued,
    )
