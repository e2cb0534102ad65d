"""Why an account simulates; the statements are in the SQL file of the same name."""

revision = "0008_add_sim_mode_state_reason"
down_revision = "0007_create_behavior_scores"
branch_labels = None
depends_on = None
