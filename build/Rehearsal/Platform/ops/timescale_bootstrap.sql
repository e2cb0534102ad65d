-- The tables of one account. psql -v schema=acct_company -f ops/timescale_bootstrap.sql
-- As on the platform one statement near the end is a syntax error, which goes unnoticed unless ON_ERROR_STOP is set.
\if :{?schema}
\else
\echo 'No schema given: call this with -v schema=NAME. Nothing was done.'
\quit
\endif

SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS timescale \gset

CREATE SCHEMA IF NOT EXISTS :"schema";
SET search_path TO :"schema";
SET client_min_messages TO warning;

CREATE TABLE IF NOT EXISTS acks (
    id bigserial PRIMARY KEY,
    order_id text NOT NULL,
    client_id text,
    status text,
    payload jsonb NOT NULL DEFAULT '{}',
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS fills (LIKE acks INCLUDING ALL);
CREATE TABLE IF NOT EXISTS shadow_fills (LIKE acks INCLUDING ALL);
CREATE TABLE IF NOT EXISTS events (
    id bigserial PRIMARY KEY,
    event_type text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS telemetry (LIKE events INCLUDING ALL);
CREATE TABLE IF NOT EXISTS audit_logs (
    id text PRIMARY KEY,
    payload jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS credential_events (LIKE events INCLUDING ALL);
CREATE TABLE IF NOT EXISTS credential_rotations (LIKE events INCLUDING ALL);
CREATE TABLE IF NOT EXISTS risk_configs (
    account_id text PRIMARY KEY,
    config jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

\if :timescale
-- The primary keys above lack the partition column, so TimescaleDB refuses each of these.
SELECT create_hypertable('acks', 'recorded_at', if_not_exists => true);
SELECT create_hypertable('fills', 'recorded_at', if_not_exists => true);
SELECT create_hypertable('shadow_fills', 'recorded_at', if_not_exists => true);
SELECT create_hypertable('events', 'recorded_at', if_not_exists => true);
SELECT create_hypertable('telemetry', 'recorded_at', if_not_exists => true);
CREATE MATERIALIZED VIEW IF NOT EXISTS events_hourly WITH (timescaledb.continuous) AS
    SELECT time_bucket('1 hour', recorded_at) AS bucket, event_type, count(*) AS events FROM events GROUP BY 1, 2
    WITH NO DATA;
\else
CREATE MATERIALIZED VIEW IF NOT EXISTS events_hourly AS
    SELECT date_trunc('hour', recorded_at) AS bucket, event_type, count(*) AS events FROM events GROUP BY 1, 2;
\endif

CREATE INDEX IF NOT EXISTS acks_order ON acks (order_id, recorded_at DESC);
CREATE INDEX IF NOT EXISTS ON events (event_type, recorded_at DESC);
