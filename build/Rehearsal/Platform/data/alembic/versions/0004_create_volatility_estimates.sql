CREATE TABLE IF NOT EXISTS volatility_estimates (
    id bigserial PRIMARY KEY,
    instrument text NOT NULL,
    estimate numeric NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
