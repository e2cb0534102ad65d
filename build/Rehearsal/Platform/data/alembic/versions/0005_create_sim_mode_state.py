"""Simulation mode of each account; the statements are in the SQL file of the same name."""

revision = "0005_create_sim_mode_state"
down_revision = "0004_create_volatility_estimates"
branch_labels = None
depends_on = None
