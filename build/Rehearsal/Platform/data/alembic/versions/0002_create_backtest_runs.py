"""Backtests; the statements are in the SQL file of the same name."""

revision = "0002_create_backtest_runs"
down_revision = "0001_create_model_registry"
branch_labels = None
depends_on = None
