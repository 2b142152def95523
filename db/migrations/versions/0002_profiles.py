"""What a destination gets: styles of results, the forms of a delivery, what was not assessed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("job", sa.Column("not_assessed", sa.Text(), nullable=True))
    op.add_column(
        "result", sa.Column("style", sa.String(length=16), nullable=False, server_default="")
    )
    op.create_table(
        "delivery_form",
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"]),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"]),
        sa.PrimaryKeyConstraint("delivery_id", "rank"),
    )
    # Until now every object of a kind and number was a form of its delivery.
    op.execute(
        "insert into delivery_form (delivery_id, rank, result_id) "
        "select delivery.id, result.rank, result.id from delivery join result "
        "on result.job_id = delivery.job_id and result.kind = delivery.kind "
        "and result.number = delivery.number"
    )
