CREATE TABLE IF NOT EXISTS capital_flows (
    id bigserial PRIMARY KEY,
    account_id text NOT NULL,
    amount numeric NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
