"""Limits of each account; the statements are in the SQL file of the same name."""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
