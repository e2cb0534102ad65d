-- The database "aether" of a rehearsal, as it is before a rollout. Plain SQL, repeatable, for a server without TimescaleDB: the
-- accounts' schemas, the tables that the services use, and the heads that the live release left behind (data/migrations 0007,
-- data/alembic 0008), so that a rollout has something to migrate.
SET client_min_messages TO warning;

DO $$
DECLARE
    account text;
    name text;
BEGIN
    FOREACH account IN ARRAY ARRAY['acct_company', 'acct_director_1', 'acct_director_2', 'acct_aether_audit'] LOOP
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', account);
        FOREACH name IN ARRAY ARRAY['acks', 'fills', 'shadow_fills'] LOOP
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I.%I (id bigserial PRIMARY KEY, order_id text NOT NULL, client_id text, status text,
                payload jsonb NOT NULL DEFAULT ''{}'', recorded_at timestamptz NOT NULL DEFAULT now())', account, name);
        END LOOP;
        FOREACH name IN ARRAY ARRAY['events', 'telemetry', 'credential_events', 'credential_rotations'] LOOP
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I.%I (id bigserial PRIMARY KEY, event_type text NOT NULL,
                payload jsonb NOT NULL DEFAULT ''{}'', recorded_at timestamptz NOT NULL DEFAULT now())', account, name);
        END LOOP;
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I.audit_logs (id text PRIMARY KEY, payload jsonb NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now())', account);
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I.risk_configs (account_id text PRIMARY KEY, config jsonb NOT NULL DEFAULT ''{}'',
            updated_at timestamptz NOT NULL DEFAULT now())', account);
        EXECUTE format('CREATE INDEX IF NOT EXISTS acks_order ON %I.acks (order_id, recorded_at DESC)', account);
        EXECUTE format('CREATE INDEX IF NOT EXISTS acks_client ON %I.acks (client_id)', account);
        EXECUTE format('CREATE INDEX IF NOT EXISTS events_recorded ON %I.events (recorded_at)', account);
        EXECUTE format('CREATE MATERIALIZED VIEW IF NOT EXISTS %I.events_hourly AS SELECT date_trunc(''hour'', recorded_at) AS bucket,
            event_type, count(*) AS events FROM %I.events GROUP BY 1, 2', account, account);
        -- Lets a refresh go on while dashboards read.
        EXECUTE format('CREATE UNIQUE INDEX IF NOT EXISTS events_hourly_bucket ON %I.events_hourly (bucket, event_type)', account);
    END LOOP;
END
$$;

-- What a caller sees of TimescaleDB's procedure: it refreshes, and it refuses inside a transaction block (a procedure that commits is
-- refused there too). The whole view is refreshed: a plain one knows no window.
CREATE OR REPLACE PROCEDURE public.refresh_continuous_aggregate(
    continuous_aggregate regclass, window_start timestamptz, window_end timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    IF window_start >= window_end THEN
        RAISE EXCEPTION 'refresh window is empty';
    END IF;
    EXECUTE format('REFRESH MATERIALIZED VIEW %s', continuous_aggregate);
END
$$;

CREATE TABLE IF NOT EXISTS public.admin_accounts (
    email text PRIMARY KEY,
    admin_id text NOT NULL,
    password_hash text NOT NULL,
    mfa_secret text NOT NULL,
    allowed_ips text
);

-- Audit trail A in the shape its writer expects. Migration 0001 of the platform has another one; it comes too late here.
CREATE TABLE IF NOT EXISTS public.audit_log (
    actor text NOT NULL,
    action text NOT NULL,
    entity text NOT NULL,
    "before" jsonb,
    "after" jsonb,
    ts timestamptz NOT NULL,
    hash text NOT NULL,
    prev_hash text NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_log_ts ON public.audit_log (ts);

CREATE TABLE IF NOT EXISTS public.override_log (
    id bigserial PRIMARY KEY,
    intent_id text NOT NULL,
    account_id text NOT NULL,
    actor text NOT NULL,
    decision text NOT NULL,
    reason text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.release_manifests (
    manifest_id text PRIMARY KEY,
    manifest_json json NOT NULL,
    manifest_hash text NOT NULL,
    ts timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS public.sim_mode_state (
    account_id text PRIMARY KEY,
    active boolean NOT NULL DEFAULT false,
    reason text,
    ts timestamptz NOT NULL DEFAULT now()
);

-- Both trees keep their head in Alembic's table.
CREATE TABLE IF NOT EXISTS public.alembic_version (version_num varchar(128) PRIMARY KEY);
INSERT INTO public.alembic_version
    SELECT head FROM (VALUES ('0007'), ('0008_add_sim_mode_state_reason')) heads (head)
    WHERE NOT EXISTS (SELECT FROM public.alembic_version);
