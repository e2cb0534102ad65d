CREATE TABLE IF NOT EXISTS kill_switch_events (
    id bigserial PRIMARY KEY,
    account_id text NOT NULL,
    reason_code text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
