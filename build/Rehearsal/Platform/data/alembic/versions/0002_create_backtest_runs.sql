CREATE TABLE IF NOT EXISTS backtest_runs (
    id bigserial PRIMARY KEY,
    strategy_name text NOT NULL,
    summary jsonb NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
