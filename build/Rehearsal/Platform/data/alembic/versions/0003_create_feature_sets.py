"""Feature sets; the statements are in the SQL file of the same name."""

revision = "0003_create_feature_sets"
down_revision = "0002_create_backtest_runs"
branch_labels = None
depends_on = None
