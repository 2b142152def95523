"""Delivery: destinations that cannot be reached, and storage commitment of what was sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "outage",
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("probe_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("destination"),
    )
    with op.batch_alter_table("delivery") as table:
        table.add_column(sa.Column("commit_at", sa.Double(), nullable=True))
        table.add_column(sa.Column("transaction_uid", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("asked_at", sa.Double(), nullable=True))
        table.add_column(sa.Column("committed_at", sa.Double(), nullable=True))
        table.create_index("ix_delivery_commit_at", ["destination", "commit_at"], unique=False)
        table.create_index("ix_delivery_transaction_uid", ["transaction_uid"], unique=False)
