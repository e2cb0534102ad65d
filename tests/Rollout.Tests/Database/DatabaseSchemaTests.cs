using Rollout.Database;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DatabaseSchemaTests
{
    private string _dsn = "";
    private DatabaseSchema _schema = null!;

    [SetUp]
    public async Task CreateAsync()
    {
        _dsn = await PostgresServer.CreateDatabaseAsync();
        _schema = new DatabaseSchema(new Secret(_dsn));
    }

    [Test]
    public async Task Heads_are_read_from_every_version_table()
    {
        await ExecuteAsync("""
            CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0009'), ('0008');
            CREATE TABLE alembic_version_timescale (version_num text); INSERT INTO alembic_version_timescale VALUES ('0005');
            CREATE TABLE contract_versions (version_num text, owner text); INSERT INTO contract_versions VALUES ('7', 'not a migration');
            """);
        Assert.That(await _schema.HeadsAsync(CancellationToken.None), Is.EqualTo(new[]
        {
            new MigrationHead("public.alembic_version", "0008"),
            new MigrationHead("public.alembic_version", "0009"),
            new MigrationHead("public.alembic_version_timescale", "0005"),
        }));
    }

    private const string Before = """
        CREATE TYPE public.side AS ENUM ('buy', 'sell');
        CREATE TABLE public.orders (id int PRIMARY KEY, qty int, name varchar(10), note text NOT NULL, client text, kind public.side);
        CREATE UNIQUE INDEX orders_client ON public.orders (client);
        CREATE INDEX orders_qty ON public.orders (qty);
        CREATE SEQUENCE public.numbers;
        CREATE VIEW public.open_orders AS SELECT id FROM public.orders;
        CREATE FUNCTION public.total(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
        CREATE TABLE public.alembic_version (version_num varchar(32));
        INSERT INTO public.alembic_version VALUES ('0001');
        INSERT INTO public.orders (id, note) VALUES (1, 'x');
        CREATE TABLE public.accounts (id int PRIMARY KEY, state text DEFAULT 'on', total int GENERATED ALWAYS AS (id * 2) STORED);
        INSERT INTO public.accounts VALUES (1, 'on'), (2, 'off');
        CREATE TABLE public.days (at date, n int) PARTITION BY RANGE (at);
        CREATE TABLE public.days_1 PARTITION OF public.days FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        INSERT INTO public.days VALUES ('2026-02-03', 1), ('2026-02-04', 2);
        CREATE TYPE public.pair AS (a int, b int);
        CREATE DOMAIN public.price AS int CHECK (VALUE > 0);
        CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER audited BEFORE UPDATE ON public.accounts FOR EACH ROW EXECUTE FUNCTION public.touch();
        CREATE TABLE public.empty (a int, b int);
        CREATE TABLE public.books (id int PRIMARY KEY);
        CREATE TABLE public.lines (id int REFERENCES public.books ON DELETE CASCADE, n int);
        CREATE TABLE public.contract_versions (version_num text, owner text);
        INSERT INTO public.contract_versions VALUES ('7', 'us');
        CREATE TABLE public.tenants (id int);
        ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;
        SELECT setval('public.numbers', 100);
        CREATE TYPE public.span AS RANGE (subtype = int);
        CREATE MATERIALIZED VIEW public.sums AS SELECT 1 AS a;
        """;

    [TestCase("CREATE TABLE fills (id int PRIMARY KEY, price int NOT NULL)", "table public.fills is new")]
    [TestCase("ALTER TABLE orders ADD COLUMN limit_px int", "column public.orders.limit_px integer is new")]
    [TestCase("ALTER TABLE orders ADD COLUMN limit_px int NOT NULL DEFAULT 0", "column public.orders.limit_px integer is new")]
    [TestCase("ALTER TABLE orders ALTER COLUMN name TYPE varchar(20)", "becomes character varying(20)")]
    [TestCase("ALTER TABLE orders ALTER COLUMN note DROP NOT NULL", "column public.orders.note text, required becomes text")]
    [TestCase("DROP INDEX orders_qty", "index public.orders.orders_qty btree (qty) is gone")]
    [TestCase("ALTER TYPE side ADD VALUE 'short'", "enum label public.side.short is new")]
    [TestCase("CREATE FUNCTION mean(a int) RETURNS int LANGUAGE sql AS 'SELECT a'", "function public.mean(a integer) integer is new")]
    [TestCase("ALTER INDEX orders_client RENAME TO other_name", null)]
    [TestCase("UPDATE alembic_version SET version_num = '0002'", null)]
    [TestCase("BEGIN; CREATE TABLE fills (id int); COMMIT;", "table public.fills is new")]
    [TestCase("INSERT INTO accounts (id) VALUES (3)", null)]
    [TestCase("CREATE TABLE seeds (id int); INSERT INTO seeds VALUES (1), (2); UPDATE seeds SET id = 5; DELETE FROM seeds WHERE id = 5", "table public.seeds is new")]
    [TestCase("ALTER TABLE accounts ADD COLUMN owner text; UPDATE accounts SET owner = 'us'", "column public.accounts.owner text is new")]
    [TestCase("ALTER TABLE accounts ADD COLUMN token uuid DEFAULT gen_random_uuid()", "column public.accounts.token uuid is new")]
    [TestCase("UPDATE accounts SET state = state", null)]
    [TestCase("ALTER TABLE accounts ALTER COLUMN id SET DEFAULT 7", "default public.accounts.id 7 is new")]
    [TestCase("CREATE SCHEMA extra; CREATE TABLE extra.t (id int)", "schema extra is new")]
    [TestCase("CREATE TABLE owned (id int REFERENCES orders ON DELETE CASCADE)", "table public.owned is new")]
    [TestCase("SET lock_timeout = 0; SET statement_timeout = 0; CREATE TABLE fills (id int)", "table public.fills is new")]
    [TestCase("SET search_path = pg_catalog; CREATE TABLE public.fills (id int)", "table public.fills is new")]
    [TestCase("ALTER SEQUENCE numbers RESTART WITH 5000", null)]
    [TestCase("ALTER SEQUENCE numbers OWNED BY accounts.id", null)]
    [TestCase("SELECT nextval('numbers')", null)]
    [TestCase("DROP VIEW open_orders; CREATE VIEW open_orders AS SELECT id FROM orders", null)]
    [TestCase("CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')", "table public.days_2 is new")]
    [TestCase("CREATE TABLE pieces (id serial, n int DEFAULT 3) PARTITION BY LIST (n); CREATE TABLE pieces_1 PARTITION OF pieces DEFAULT", "table public.pieces is new")]
    [TestCase("CREATE FUNCTION mean(a int) RETURNS int LANGUAGE sql AS 'SELECT a'; CREATE FUNCTION mean(a text) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.mean(a text) integer is new")]
    [TestCase("CREATE FUNCTION two() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; CREATE TABLE fills (id int)", "function public.two() integer is new")]
    [TestCase("GRANT SELECT ON orders TO pg_monitor", "right public.orders.pg_monitor select is new")]
    [TestCase("DO $$ BEGIN CREATE ROLE of_this_trial; EXCEPTION WHEN duplicate_object THEN NULL; END $$; GRANT pg_monitor TO of_this_trial", null)]
    [TestCase("SET SESSION AUTHORIZATION pg_monitor; RESET SESSION AUTHORIZATION; SET ROLE pg_monitor", null)]
    [TestCase("INSERT INTO orders (id, note) VALUES (2, 'a copy of one from her')", null)]
    [TestCase("COMMENT ON TABLE orders IS 'x'; ANALYZE orders; CREATE STATISTICS pairs ON qty, id FROM orders", null)]
    public async Task A_change_that_live_does_not_notice_is_additive(string sql, string? addition)
    {
        await ExecuteAsync(Before);
        var forecast = await ForecastAsync(sql);
        Assert.That(forecast.IsAdditive, forecast.Summary);
        Assert.That(string.Join('\n', forecast.Changes.Additions), addition is null ? Is.Empty : Does.Contain(addition));
    }

    [TestCase("DROP TABLE orders CASCADE", "table public.orders is gone")]
    [TestCase("DROP VIEW open_orders", "view public.open_orders is gone")]
    [TestCase("ALTER TABLE orders DROP COLUMN qty", "column public.orders.qty integer is gone")]
    [TestCase("ALTER TABLE orders RENAME COLUMN qty TO quantity", "column public.orders.qty integer is gone")]
    [TestCase("ALTER TABLE orders ALTER COLUMN qty TYPE text", "becomes text")]
    [TestCase("ALTER TABLE orders ALTER COLUMN name TYPE varchar(5)", "becomes character varying(5)")]
    [TestCase("ALTER TABLE orders ALTER COLUMN client SET NOT NULL", null)]
    [TestCase("UPDATE orders SET client = 'c'; ALTER TABLE orders ALTER COLUMN client SET NOT NULL", "becomes text, required")]
    [TestCase("TRUNCATE orders; ALTER TABLE orders ADD COLUMN owner text NOT NULL", "column public.orders.owner text, required is new, and live's writes may not fit it")]
    [TestCase("DROP INDEX orders_client", "unique key public.orders.client is gone")]
    [TestCase("ALTER TABLE orders DROP CONSTRAINT orders_pkey; CREATE UNIQUE INDEX ON orders (id, client)", "unique key public.orders.id is gone")]
    [TestCase("CREATE UNIQUE INDEX ON orders (qty)", "unique key public.orders.qty is new")]
    [TestCase("ALTER TABLE orders ADD CHECK (qty > 0)", "constraint public.orders.CHECK ((qty > 0)) is new")]
    [TestCase("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION no()", "trigger public.orders.t is new")]
    [TestCase("DROP FUNCTION total", "function public.total(a integer) integer is gone")]
    [TestCase("DROP SEQUENCE numbers", "sequence public.numbers bigint by 1 from 1 to 9223372036854775807 is gone")]
    [TestCase("ALTER TABLE orders RENAME TO commands", "table public.orders is gone")]
    [TestCase("DELETE FROM accounts WHERE id = 2", "1 of 2 rows of public.accounts are changed or gone")]
    [TestCase("DELETE FROM accounts; INSERT INTO accounts VALUES (1, 'on')", "1 of 2 rows of public.accounts are changed or gone")]
    [TestCase("UPDATE accounts SET state = 'off' WHERE id = 1", "1 of 2 rows of public.accounts are changed or gone")]
    [TestCase("TRUNCATE accounts", "2 of 2 rows of public.accounts are changed or gone")]
    [TestCase("TRUNCATE accounts; INSERT INTO accounts VALUES (1, 'on'), (9, 'off')", "1 of 2 rows of public.accounts are changed or gone")]
    [TestCase("DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'accounts'; END $$", "2 of 2 rows of public.accounts are changed or gone")]
    [TestCase("DO $$ BEGIN BEGIN DELETE FROM accounts; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$", "2 of 2 rows of public.accounts are changed or gone")]
    [TestCase("WITH gone AS (DELETE FROM accounts RETURNING *) SELECT count(*) FROM gone", "2 of 2 rows of public.accounts are changed or gone")]
    [TestCase("MERGE INTO accounts USING (VALUES (1)) v(id) ON accounts.id = v.id WHEN MATCHED THEN DELETE", "1 of 2 rows of public.accounts are changed or gone")]
    [TestCase("CREATE FUNCTION sweep() RETURNS void LANGUAGE sql AS 'DELETE FROM accounts'; SELECT sweep()", "2 of 2 rows of public.accounts are changed or gone")]
    [TestCase("UPDATE days SET n = 9 WHERE n = 1", "1 of 2 rows of public.days are changed or gone")]
    [TestCase("ALTER TABLE days DETACH PARTITION days_1; DROP TABLE days_1", "table public.days_1 is gone")]
    [TestCase("ALTER TABLE accounts ALTER COLUMN state DROP DEFAULT", "default public.accounts.state 'on'::text is gone")]
    [TestCase("ALTER TABLE accounts ALTER COLUMN state SET DEFAULT 'off'", "default public.accounts.state 'on'::text becomes 'off'::text")]
    [TestCase("ALTER TABLE accounts ALTER COLUMN total DROP EXPRESSION", "becomes integer")]
    [TestCase("ALTER TABLE accounts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY", "becomes integer, identity always")]
    [TestCase("CREATE RULE quiet AS ON DELETE TO accounts DO INSTEAD NOTHING", "rule public.accounts.quiet is new")]
    [TestCase("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY", "row security public.accounts is new")]
    [TestCase("CREATE POLICY own ON accounts USING (id = 1)", "policy public.accounts.own is new")]
    [TestCase("DROP TRIGGER audited ON accounts", "trigger public.accounts.audited is gone")]
    [TestCase("ALTER TABLE accounts DISABLE TRIGGER audited", "trigger public.accounts.audited is defined anew")]
    [TestCase("CREATE OR REPLACE FUNCTION total(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1'", "function public.total(a integer) integer is defined anew")]
    [TestCase("CREATE OR REPLACE VIEW open_orders AS SELECT id FROM orders WHERE qty > 0", "view public.open_orders is defined anew")]
    [TestCase("ALTER TYPE pair ADD ATTRIBUTE c int", "type public.pair a integer, b integer becomes a integer, b integer, c integer")]
    [TestCase("ALTER DOMAIN price ADD CHECK (VALUE < 10)", "type public.price integer CHECK ((VALUE > 0)) becomes")]
    [TestCase("ALTER SEQUENCE numbers INCREMENT BY 10", "sequence public.numbers bigint by 1 from 1 to")]
    [TestCase("CREATE TABLE holds (id int REFERENCES orders)", "reference public.orders.from public.holds FOREIGN KEY (id) REFERENCES public.orders(id) holds rows is new")]
    [TestCase("ALTER TABLE accounts OWNER TO pg_database_owner", "owner public.accounts postgres becomes pg_database_owner")]
    [TestCase("ALTER TYPE side RENAME VALUE 'buy' TO 'bid'", "enum label public.side.buy is gone")]
    [TestCase("ALTER TABLE accounts DROP CONSTRAINT accounts_pkey, ADD CONSTRAINT accounts_pkey PRIMARY KEY (id) DEFERRABLE", "unique key public.accounts.id becomes deferrable")]
    [TestCase("DROP TABLE accounts; CREATE TABLE accounts (id int PRIMARY KEY, state text DEFAULT 'on', total int GENERATED ALWAYS AS (id * 2) STORED)", "2 of 2 rows of public.accounts are changed or gone, table public.accounts is another one now")]
    [TestCase("DROP TABLE empty; CREATE TABLE empty (a int, b int)", "table public.empty is another one now")]
    [TestCase("ALTER TABLE orders DROP COLUMN qty; ALTER TABLE orders ADD COLUMN qty int", "column public.orders.qty integer is another one now")]
    [TestCase("ALTER TABLE empty RENAME a TO c; ALTER TABLE empty RENAME b TO a; ALTER TABLE empty RENAME c TO b", "column public.empty.a integer is another one now")]
    [TestCase("ALTER TABLE days DETACH PARTITION days_1", "2 of 2 rows of public.days are changed or gone")]
    [TestCase("DELETE FROM contract_versions", "1 of 1 rows of public.contract_versions are changed or gone")]
    [TestCase("ALTER SEQUENCE numbers RESTART", "sequence public.numbers goes back from 100 to 1")]
    [TestCase("ALTER SEQUENCE numbers RESTART WITH 100", "sequence public.numbers goes back from 100 to 100")]
    [TestCase("DROP SEQUENCE numbers; CREATE SEQUENCE numbers", "sequence public.numbers goes back from 100 to 1")]
    [TestCase("REVOKE INSERT ON orders FROM CURRENT_USER", "right public.orders.postgres insert is gone")]
    [TestCase("REVOKE EXECUTE ON FUNCTION total FROM public", "right public.total(a integer).public execute is gone")]
    [TestCase("GRANT SELECT (id) ON orders TO pg_monitor; REVOKE USAGE ON SCHEMA public FROM public", "right public.public usage is gone")]
    [TestCase("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = extra', current_database()); END $$", "pg_catalog.pg_db_role_setting changes, which a forecast cannot weigh")]
    [TestCase("ALTER ROLE CURRENT_USER SET search_path = extra", "pg_catalog.pg_db_role_setting changes")]
    [TestCase("DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM public', current_database()); END $$", "pg_catalog.pg_database changes")]
    [TestCase("CREATE AGGREGATE product(int) (sfunc = int4mul, stype = int)", "pg_catalog.pg_aggregate changes")]
    [TestCase("CREATE FUNCTION total(a text) RETURNS int LANGUAGE sql AS 'SELECT 1'", "total names another function too, and live's calls may reach that")]
    [TestCase("CREATE FUNCTION lower(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "lower names another function too")]
    [TestCase("ALTER TABLE orders ALTER COLUMN qty SET DEFAULT 7", "default public.orders.qty 7 is new")]
    [TestCase("ALTER TABLE tenants DISABLE ROW LEVEL SECURITY", "row security public.tenants is gone")]
    [TestCase("ALTER TABLE lines DROP CONSTRAINT lines_id_fkey", "ON DELETE CASCADE is gone")]
    [TestCase("CREATE TABLE days_3 (at date, n int); ALTER TABLE empty RENAME TO x; ALTER TABLE x RENAME TO empty; ALTER TABLE lines SET UNLOGGED", "table public.lines becomes unlogged")]
    [TestCase("CREATE TABLE more (a int) PARTITION BY RANGE (a); ALTER TABLE empty DROP COLUMN b; ALTER TABLE more ATTACH PARTITION empty FOR VALUES FROM (1) TO (2)", "partition public.empty FOR VALUES FROM (1) TO (2) is new, and live's writes may not fit it")]
    [TestCase("ALTER TABLE orders ALTER COLUMN note TYPE text COLLATE \"C\"", "column public.orders.note text, required becomes text collate C, required")]
    [TestCase("DROP TYPE span", "type public.span is gone")]
    [TestCase("REFRESH MATERIALIZED VIEW sums WITH NO DATA", "materialized view public.sums becomes unpopulated")]
    [TestCase("CREATE RULE quiet AS ON INSERT TO empty DO ALSO (DELETE FROM lines; DELETE FROM tenants)", "rule public.empty.quiet is new")]
    public async Task A_change_that_live_may_trip_over_is_a_break(string sql, string? expected)
    {
        await ExecuteAsync(Before);
        var forecast = await ForecastAsync(sql);
        Assert.That(forecast.IsAdditive, Is.False, forecast.Summary);
        Assert.That($"{forecast.Summary}\n{string.Join('\n', forecast.Changes.Breaks)}", Does.Contain(expected ?? "not known to be additive: the database refused to try it: column"));
    }

    [TestCase("CREATE INDEX CONCURRENTLY ON orders (name)", "cannot run inside a transaction block")]
    [TestCase("VACUUM orders", "it says VACUUM")]
    [TestCase("SELECT 1; ROLLBACK; DROP TABLE orders", "it says ROLLBACK")]
    [TestCase("DO $$ BEGIN DROP VIEW open_orders; COMMIT; END $$", "invalid transaction termination")]
    [TestCase("nonsense", "syntax error")]
    [TestCase("SELECT pg_sleep(60)", "statement timeout")]
    [TestCase("SET statement_timeout = 0; SELECT pg_sleep(60)", "statement timeout")]
    [TestCase("SELECT pg_sleep(0.7); SELECT pg_sleep(0.7); SELECT pg_sleep(0.7); SELECT pg_sleep(0.7); SELECT pg_sleep(0.7)", "it was not over after 3 s")]
    [TestCase("SELECT setval('numbers', 1, false)", "it says setval")]
    [TestCase("DO $$ BEGIN PERFORM pg_catalog.SetVal('numbers', 1); END $$", "it says setval")]
    [TestCase("COMMIT PREPARED 'x'", "it says COMMIT PREPARED")]
    [TestCase("COPY orders FROM '/etc/passwd'", "it says COPY")]
    [TestCase("\\connect other", "is no statement of PostgreSQL's language")]
    [TestCase("SELECT dblink_exec('dbname=x', 'DROP TABLE orders')", "it says dblink")]
    [TestCase("SET ROLE nobody_of_that_name", "nobody_of_that_name")]
    [TestCase("SET track_counts = off; DELETE FROM orders", "it says track_counts")]
    [TestCase("SELECT lo_export(1, '/dev/null')", "it says lo_export")]
    [TestCase("DO $$ BEGIN EXECUTE 'COPY orders TO PROGRAM ''cat'''; END $$", "it says copy")]
    [TestCase("SELECT pg_terminate_backend(0)", "it says pg_terminate_backend")]
    [TestCase("SELECT rewind_all()", "function rewind_all of the database may do what no rolled back transaction takes back")]
    public async Task What_cannot_be_tried_is_not_known_to_be_additive_and_changes_nothing(string sql, string why)
    {
        await ExecuteAsync(Before + """
            CREATE FUNCTION rewind(name text) RETURNS bigint LANGUAGE sql AS 'SELECT setval(name, 1)';
            CREATE FUNCTION rewind_all() RETURNS bigint LANGUAGE sql AS 'SELECT rewind(''numbers'')';
            """);
        var before = await StateAsync();
        var forecast = await ForecastAsync(sql);
        Assert.That(forecast.IsAdditive, Is.False);
        Assert.That(forecast.Summary, Does.StartWith("not known to be additive").And.Contain(why));
        Assert.That(await StateAsync(), Is.EqualTo(before));
    }

    [Test]
    public async Task A_forecast_leaves_catalogue_and_rows_as_they_were()
    {
        await ExecuteAsync(Before);
        var before = await StateAsync();
        var forecast = await ForecastAsync("BEGIN; DELETE FROM orders; DROP VIEW open_orders; ALTER TABLE orders DROP COLUMN qty; UPDATE alembic_version SET version_num = 'x'; COMMIT; CREATE TABLE t (i int);");
        Assert.That(forecast.Changes.Breaks, Is.Not.Empty, "it did run");
        Assert.That(await StateAsync(), Is.EqualTo(before));
    }

    [Test]
    public async Task A_lock_that_live_holds_is_not_waited_for()
    {
        await ExecuteAsync(Before);
        await using var live = new Npgsql.NpgsqlConnection(DatabaseAddress.Parse(new Secret(_dsn)).ConnectionString);
        await live.OpenAsync();
        await using var transaction = await live.BeginTransactionAsync();
        await using var command = new Npgsql.NpgsqlCommand("SELECT * FROM orders", live, transaction);
        await command.ExecuteNonQueryAsync();
        Assert.That((await ForecastAsync("ALTER TABLE orders ADD COLUMN x int")).Summary, Does.Contain("another session holds a lock"));
    }

    [Test]
    public async Task A_role_that_may_not_change_the_schema_cannot_try_it()
    {
        await ExecuteAsync(Before);
        var role = $"reader_{Guid.NewGuid():N}";
        await ExecuteAsync($"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
        var schema = new DatabaseSchema(new Secret(_dsn.Replace($"postgres:{Uri.EscapeDataString(PostgresServer.Password)}", $"{role}:x", StringComparison.Ordinal)));
        var forecast = await schema.ForecastAsync("ALTER TABLE orders ADD COLUMN x int", Patience, CancellationToken.None);
        Assert.That(forecast.Summary, Does.Contain("must be owner of table orders"));
        await ExecuteAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
    }

    [Test]
    public async Task Two_unique_indexes_of_the_same_columns_are_one_key()
    {
        await ExecuteAsync(Before + "ALTER TABLE orders ADD CONSTRAINT later UNIQUE (qty) DEFERRABLE; CREATE UNIQUE INDEX ON orders (qty) INCLUDE (name);");
        Assert.That((await ForecastAsync("CREATE TABLE fills (id int)")).IsAdditive);
        Assert.That((await ForecastAsync("ALTER TABLE orders DROP CONSTRAINT later")).IsAdditive, "the other one still holds it");
    }

    [Test]
    public async Task A_script_that_would_rewind_a_sequence_is_not_tried()
    {
        await ExecuteAsync(Before + "SELECT setval('public.numbers', 100);");
        await ForecastAsync("SELECT setval('public.numbers', 1, false)");
        Assert.That(await ScalarAsync("SELECT last_value FROM public.numbers"), Is.EqualTo(100), "no rollback takes setval back");
    }

    [Test]
    public async Task No_script_is_tried_where_a_trigger_acts_outside_the_transaction()
    {
        await ExecuteAsync(Before + """
            CREATE FUNCTION rewinds() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM setval(''public.numbers'', 1); RETURN NEW; END';
            CREATE TRIGGER rewinding BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION rewinds();
            """);
        Assert.That((await ForecastAsync("INSERT INTO orders (id, note) VALUES (2, 'y')")).Summary, Does.Contain("function rewinds of the database may do"));
        Assert.That(await ScalarAsync("SELECT last_value FROM public.numbers"), Is.EqualTo(100));
    }

    [Test]
    public async Task Rows_of_a_chunk_that_is_dropped_are_told_under_the_table_that_people_know()
    {
        // As TimescaleDB lays it out: the chunk is a child in a schema of the extension's own.
        await ExecuteAsync(Before + """
            CREATE SCHEMA _timescaledb_internal;
            CREATE TABLE public.ticks (at date);
            CREATE TABLE _timescaledb_internal._hyper_1_1_chunk () INHERITS (public.ticks);
            INSERT INTO _timescaledb_internal._hyper_1_1_chunk VALUES ('2026-01-01');
            CREATE SCHEMA _timescaledb_config; CREATE TABLE _timescaledb_config.bgw_job (id int); INSERT INTO _timescaledb_config.bgw_job VALUES (1);
            """);
        Assert.That((await ForecastAsync("DROP TABLE _timescaledb_internal._hyper_1_1_chunk")).Summary, Does.Contain("1 of 1 rows of public.ticks are changed or gone"));
        Assert.That((await ForecastAsync("INSERT INTO _timescaledb_config.bgw_job VALUES (2)")).IsAdditive);
        Assert.That((await ForecastAsync("DELETE FROM _timescaledb_config.bgw_job")).Summary, Does.Contain("_timescaledb_config.bgw_job changes"));
    }

    [Test]
    public async Task Nothing_pending_is_additive()
    {
        Assert.That((await ForecastAsync("-- nothing\n")).Summary, Is.EqualTo("nothing is pending"));
    }

    [Test]
    public async Task A_script_is_applied_as_a_whole_or_not_at_all()
    {
        await ExecuteAsync(Before);
        var before = await StateAsync();
        await Assert.ThrowsAsync<RolloutException>(() => _schema.ApplyAsync("BEGIN; CREATE TABLE t (i int); COMMIT; nonsense;", Patience, CancellationToken.None));
        Assert.That(await StateAsync(), Is.EqualTo(before));
        Assert.That(await _schema.ApplyAsync("BEGIN; CREATE TABLE t (i int); INSERT INTO t VALUES (1); COMMIT;", Patience, CancellationToken.None), Is.EqualTo(2));
        Assert.That(await StateAsync(), Does.Contain("table\tpublic\tt\t"));
    }

    [Test]
    public async Task What_was_accepted_may_act_outside_its_transaction_and_what_cannot_run_in_one_is_told()
    {
        await ExecuteAsync(Before);
        await _schema.ApplyAsync("SELECT setval('public.numbers', 7)", Patience, CancellationToken.None);
        Assert.That(await ScalarAsync("SELECT last_value FROM public.numbers"), Is.EqualTo(7));
        var told = (await Assert.ThrowsAsync<RolloutException>(() => _schema.ApplyAsync("CREATE TABLE t (i int); VACUUM", Patience, CancellationToken.None)))!;
        Assert.That(told.Message, Does.Contain("it says VACUUM").And.Contain("Nothing was changed"));
    }

    [Test]
    public async Task A_catalogue_is_read_back_as_it_was_written()
    {
        await ExecuteAsync(Before);
        var catalog = await _schema.CatalogAsync(CancellationToken.None);
        Assert.That(DatabaseCatalog.FromText(catalog.ToText()).ToText(), Is.EqualTo(catalog.ToText()));
        Assert.That(catalog.ChangesTo(DatabaseCatalog.FromText(catalog.ToText())).Additions, Is.Empty);
    }

    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);

    private Task<MigrationForecast> ForecastAsync(string sql) => _schema.ForecastAsync(sql, Patience, CancellationToken.None);

    private async Task<object?> ScalarAsync(string sql)
    {
        await using var connection = new Npgsql.NpgsqlConnection(DatabaseAddress.Parse(new Secret(_dsn)).ConnectionString);
        await connection.OpenAsync();
        await using var command = new Npgsql.NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    private async Task<string> StateAsync()
    {
        await using var connection = new Npgsql.NpgsqlConnection(DatabaseAddress.Parse(new Secret(_dsn)).ConnectionString);
        await connection.OpenAsync();
        await using var command = new Npgsql.NpgsqlCommand("SELECT (SELECT json_agg(o) FROM orders o)::text || (SELECT json_agg(v) FROM alembic_version v)::text", connection);
        return (await _schema.CatalogAsync(CancellationToken.None)).ToText() + await command.ExecuteScalarAsync();
    }

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
