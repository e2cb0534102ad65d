CREATE TABLE IF NOT EXISTS behavior_scores (
    id bigserial PRIMARY KEY,
    account_id text NOT NULL,
    score numeric NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
