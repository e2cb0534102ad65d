CREATE TABLE IF NOT EXISTS seasonality_profiles (
    instrument text PRIMARY KEY,
    profile jsonb NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
