"""Decisions of people about intents; the statements are in the SQL file of the same name."""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
