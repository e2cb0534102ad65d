"""Seasonality profiles; the statements are in the SQL file of the same name."""

revision = "0006_create_seasonality_profiles"
down_revision = "0005_create_sim_mode_state"
branch_labels = None
depends_on = None
