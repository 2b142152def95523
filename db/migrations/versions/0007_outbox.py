"""What waits for delivery by index in the order of claims, and may go whoever the patient is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "delivery",
        sa.Column("unchecked", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_delivery_pending",
        "delivery",
        ["destination", sa.text("priority desc"), "run_at", "id"],
        unique=False,
        sqlite_where=pending,
        postgresql_where=pending,
    )
