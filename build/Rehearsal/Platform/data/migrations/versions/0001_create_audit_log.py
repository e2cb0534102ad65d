"""The audit log; the statements are in the SQL file of the same name."""

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
