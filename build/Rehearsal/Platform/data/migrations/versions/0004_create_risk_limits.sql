CREATE TABLE IF NOT EXISTS risk_limits (
    account_id text PRIMARY KEY,
    max_notional numeric NOT NULL,
    max_daily_loss numeric NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
