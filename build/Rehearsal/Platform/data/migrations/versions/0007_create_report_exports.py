"""Exports of reports; the statements are in the SQL file of the same name."""

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
