CREATE TABLE IF NOT EXISTS model_registry (
    model_id text PRIMARY KEY,
    artifact text NOT NULL,
    stage text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
