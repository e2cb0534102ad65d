CREATE TABLE IF NOT EXISTS override_log (
    id bigserial PRIMARY KEY,
    intent_id text NOT NULL,
    account_id text NOT NULL,
    actor text NOT NULL,
    decision text NOT NULL,
    reason text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
