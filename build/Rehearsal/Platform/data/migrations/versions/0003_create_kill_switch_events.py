"""Kill switch events; the statements are in the SQL file of the same name."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
