-- As on the platform these are not the columns that common/utils/audit_logger.py writes: where this comes first, its rows are lost.
CREATE TABLE IF NOT EXISTS audit_log (
    event_id uuid PRIMARY KEY,
    entity_type text NOT NULL,
    entity_id text NOT NULL,
    event_type text NOT NULL,
    event_time timestamptz NOT NULL DEFAULT now(),
    metadata jsonb NOT NULL DEFAULT '{}'
);
