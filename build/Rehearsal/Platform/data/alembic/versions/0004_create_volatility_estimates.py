"""Volatility estimates; the statements are in the SQL file of the same name."""

revision = "0004_create_volatility_estimates"
down_revision = "0003_create_feature_sets"
branch_labels = None
depends_on = None
