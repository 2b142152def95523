"""What waits for delivery, by destination and in the order of claims."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_delivery_pending",
        "delivery",
        ["destination", sa.text("priority desc"), "run_at", "id"],
        unique=False,
        sqlite_where=pending,
        postgresql_where=pending,
    )
