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
    public async Task A_change_that_live_may_trip_over_is_a_break(string sql, string? expected)
    {
        await ExecuteAsync(Before);
        var forecast = await ForecastAsync(sql);
        Assert.That(forecast.IsAdditive, Is.False, forecast.Summary);
        Assert.That(forecast.Summary, Does.Contain(expected ?? "not known to be additive: the database refused to try it: column"));
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
    public async Task What_cannot_be_tried_is_not_known_to_be_additive_and_changes_nothing(string sql, string why)
    {
        await ExecuteAsync(Before);
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
