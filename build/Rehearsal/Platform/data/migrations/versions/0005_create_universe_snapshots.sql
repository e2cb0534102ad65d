CREATE TABLE IF NOT EXISTS universe_snapshots (
    id bigserial PRIMARY KEY,
    instruments jsonb NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
