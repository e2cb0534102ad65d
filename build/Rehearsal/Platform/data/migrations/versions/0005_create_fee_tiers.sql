CREATE TABLE IF NOT EXISTS fee_tiers (
    tier text PRIMARY KEY,
    maker_bps numeric NOT NULL,
    taker_bps numeric NOT NULL
);
