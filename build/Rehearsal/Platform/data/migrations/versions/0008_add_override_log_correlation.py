"""Correlation of an override with its request; the statements are in the SQL file of the same name."""

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
