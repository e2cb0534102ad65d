using Rollout.Commands;
using Rollout.Database;
using Rollout.Platform;
using Rollout.Tests.Support;

namespace Rollout.Tests.Database;

/// <summary>The real Alembic in its offline mode, two trees that share one version table as the platform's do, and a real server.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class AlembicTests
{
    private const string Python = "/usr/bin/python3";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private readonly string _platform = Directory.CreateTempSubdirectory("alembic-").FullName;
    private readonly CommandRunner _commands = new(_ => { });

    [SetUp]
    public async Task RequireAlembicAsync()
    {
        if (!File.Exists(Python) || (await _commands.RunAsync(new CommandLine(Python, "-c", "import alembic"), default)).ExitCode != 0)
        {
            Assert.Ignore($"{Python} has no alembic (Debian: apt-get install alembic)");
        }
    }

    [TearDown]
    public void Remove() => Directory.Delete(_platform, recursive: true);

    [Test]
    public async Task Two_trees_begin_in_one_version_table_and_go_on_from_their_own_heads()
    {
        var schema = new DatabaseSchema(new Secret(await PostgresServer.CreateDatabaseAsync()));
        Tree("data/migrations", ("m1", null, "op.create_table('overrides', sa.Column('id', sa.Integer, primary_key=True))"));
        Tree("data/alembic", ("a1", null, "op.create_table('models', sa.Column('id', sa.Integer, primary_key=True))"));
        var first = await PendingAsync("data/migrations", null) + await PendingAsync("data/alembic", null);
        var forecast = await schema.ForecastAsync(first, Patience, default);
        Assert.That(forecast.IsAdditive, forecast.Summary);
        Assert.That(await schema.HeadsAsync(default), Is.Empty, "a forecast migrates nothing");

        await schema.ApplyAsync(first, Patience, default);

        Assert.That((await schema.HeadsAsync(default)).Select(h => h.Revision), Is.EqualTo(new[] { "a1", "m1" }));
        Tree("data/alembic", ("a2", "a1", "op.add_column('models', sa.Column('name', sa.Text, nullable=True))"));
        var second = await PendingAsync("data/alembic", "a1");
        Assert.That((await schema.ForecastAsync(second, Patience, default)).Summary, Is.EqualTo("additive: column public.models.name text is new"));
        await schema.ApplyAsync(second, Patience, default);
        Assert.That((await schema.HeadsAsync(default)).Select(h => h.Revision), Is.EqualTo(new[] { "a2", "m1" }));
    }

    [Test]
    public async Task A_revision_that_deletes_rows_is_no_additive_one()
    {
        var schema = new DatabaseSchema(new Secret(await PostgresServer.CreateDatabaseAsync()));
        Tree("data/alembic", ("a1", null, "op.create_table('models', sa.Column('id', sa.Integer, primary_key=True)); op.execute('INSERT INTO models VALUES (1), (2)')"));
        await schema.ApplyAsync(await PendingAsync("data/alembic", null), Patience, default);
        Tree("data/alembic", ("a2", "a1", "op.execute('DELETE FROM models WHERE id = 2')"));
        Assert.That((await schema.ForecastAsync(await PendingAsync("data/alembic", "a1"), Patience, default)).Summary, Is.EqualTo("NOT additive: 1 of 2 rows of public.models are changed or gone"));
    }

    private async Task<string> PendingAsync(string tree, string? from) =>
        (await new AetherScripts(_platform, _commands, Python).OfflineMigrationsAsync($"{tree}/alembic.ini", from, default)).OrThrow().StandardOutput;

    private void Tree(string tree, (string Revision, string? Down, string Upgrade) migration)
    {
        var versions = Directory.CreateDirectory(Path.Combine(_platform, tree, "versions")).FullName;
        File.WriteAllText(Path.Combine(_platform, tree, "alembic.ini"), $"[alembic]\nscript_location = {tree}\n");
        File.WriteAllText(Path.Combine(_platform, tree, "env.py"), """
            from alembic import context
            context.configure(url=context.get_x_argument(as_dictionary=True)["db_url"], literal_binds=True, dialect_name="postgresql")
            with context.begin_transaction():
                context.run_migrations()
            """);
        var down = migration.Down is null ? "None" : $"'{migration.Down}'";
        File.WriteAllText(
            Path.Combine(versions, $"{migration.Revision}.py"),
            $"from alembic import op\nimport sqlalchemy as sa\nrevision = '{migration.Revision}'\ndown_revision = {down}\n\ndef upgrade():\n    {migration.Upgrade}\n");
    }
}
