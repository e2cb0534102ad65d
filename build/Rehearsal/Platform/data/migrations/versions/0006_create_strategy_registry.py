"""Strategies and whether they may trade; the statements are in the SQL file of the same name."""

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
