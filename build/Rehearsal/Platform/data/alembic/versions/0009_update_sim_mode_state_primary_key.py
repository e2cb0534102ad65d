"""One row per account; the statements are in the SQL file of the same name."""

revision = "0009_update_sim_mode_state_primary_key"
down_revision = "0008_add_sim_mode_state_reason"
branch_labels = None
depends_on = None
