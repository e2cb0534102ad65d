"""Snapshots of the tradable universe; the statements are in the SQL file of the same name."""

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
