ALTER TABLE override_log ADD COLUMN IF NOT EXISTS correlation_id text;
CREATE INDEX IF NOT EXISTS override_log_intent ON override_log (intent_id);
