CREATE TABLE IF NOT EXISTS report_exports (
    id bigserial PRIMARY KEY,
    report text NOT NULL,
    object_key text NOT NULL,
    sha256 text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);
