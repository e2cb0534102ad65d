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

    private Task ExecuteAsync(string sql) => PostgresServer.ExecuteAsync(_dsn, sql);
}
