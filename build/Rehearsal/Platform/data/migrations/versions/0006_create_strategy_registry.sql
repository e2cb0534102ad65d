CREATE TABLE IF NOT EXISTS strategy_registry (
    strategy_name text PRIMARY KEY,
    enabled boolean NOT NULL DEFAULT false,
    max_nav_pct numeric
);
