"""Trained models; the statements are in the SQL file of the same name."""

revision = "0001_create_model_registry"
down_revision = None
branch_labels = None
depends_on = None
