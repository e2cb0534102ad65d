CREATE TABLE IF NOT EXISTS benchmark_runs (
    id bigserial PRIMARY KEY,
    benchmark text NOT NULL,
    score numeric,
    ts timestamptz NOT NULL DEFAULT now()
);
