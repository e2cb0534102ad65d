"""Behaviour scores; the statements are in the SQL file of the same name."""

revision = "0007_create_behavior_scores"
down_revision = "0006_create_seasonality_profiles"
branch_labels = None
depends_on = None
