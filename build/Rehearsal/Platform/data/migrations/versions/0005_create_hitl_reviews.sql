CREATE TABLE IF NOT EXISTS hitl_reviews (
    id bigserial PRIMARY KEY,
    intent_id text NOT NULL,
    state text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
