CREATE TABLE IF NOT EXISTS sim_mode_state (
    id bigserial PRIMARY KEY,
    account_id text NOT NULL,
    active boolean NOT NULL DEFAULT false,
    ts timestamptz NOT NULL DEFAULT now()
);
