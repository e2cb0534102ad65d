CREATE TABLE IF NOT EXISTS feature_sets (
    feature_set text PRIMARY KEY,
    definition jsonb NOT NULL
);
