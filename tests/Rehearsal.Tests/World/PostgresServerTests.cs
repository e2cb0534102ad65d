using System.Diagnostics;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class PostgresServerTests
{
    private const string Password = "postgres-secret";

    [Test]
    public async Task A_server_keeps_its_data_and_port_over_a_restart_and_over_a_kill()
    {
        using var place = new TestPlace();
        System.Net.IPEndPoint address;
        await using (var server = await PostgresServer.StartAsync(place.LivePlace, null, Password, CancellationToken.None))
        {
            address = server.Address;
            await ExecuteAsync(server, "CREATE TABLE kept(value int); INSERT INTO kept VALUES (42)");
        }

        await using (var server = await PostgresServer.StartAsync(place.LivePlace, null, Password, CancellationToken.None))
        {
            Assert.That(server.Address, Is.EqualTo(address), "after a clean stop");
            Assert.That(await ExecuteAsync(server, "SELECT value FROM kept"), Is.EqualTo(42));
            using var postmaster = Process.GetProcessById(
                Convert.ToInt32(await ExecuteAsync(server, PostmasterPid), System.Globalization.CultureInfo.InvariantCulture));
            postmaster.Kill();
            await postmaster.WaitForExitAsync().WaitAsync(Patience.Limit);
        }

        await using (var server = await PostgresServer.StartAsync(place.LivePlace, null, Password, CancellationToken.None))
        {
            Assert.That(await ExecuteAsync(server, "SELECT value FROM kept"), Is.EqualTo(42), "after the server was killed");
        }
    }

    [Test]
    public async Task Data_that_had_to_lie_outside_its_world_goes_when_the_world_has_gone()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Assert.Ignore("only root's server runs as another user, who may be unable to reach the world's directory");
        }

        var homes = new List<string>();
        using var kept = new TestPlace();
        using (var gone = new TestPlace())
        {
            homes.Add(await StartBelowAsync(kept));
            homes.Add(await StartBelowAsync(gone));
        }

        homes.Add(await StartBelowAsync(kept, "another"));
        Assert.That(homes.Select(Path.GetDirectoryName), Is.All.EqualTo(Path.GetTempPath().TrimEnd('/')));
        Assert.That(homes.Select(Directory.Exists), Is.EqualTo(new[] { true, false, true }));
        homes.Where(Directory.Exists).ToList().ForEach(home => Directory.Delete(home, recursive: true));

        // The folder above the world's is the one that is closed.
        static async Task<string> StartBelowAsync(TestPlace place, string name = "world")
        {
            var inner = Directory.CreateDirectory(Path.Combine(place.Directory, name)).FullName;
            await using var server = await PostgresServer.StartAsync(
                place.LivePlace with { Directory = inner }, null, Password, CancellationToken.None);
            return (string)JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(inner, "postgres.json")))!["home"]!;
        }
    }

    [Test]
    public async Task A_wrong_password_is_refused()
    {
        using var place = new TestPlace();
        await using var server = await PostgresServer.StartAsync(place.LivePlace, null, Password, CancellationToken.None);
        Assert.That(
            async () => await ExecuteAsync(server, "SELECT 1", "wrong"),
            Throws.InstanceOf<PostgresException>().With.Property("SqlState").EqualTo("28P01"));
    }

    [Test]
    public void Missing_programs_are_named()
    {
        using var place = new TestPlace();
        Assert.That(
            async () => await PostgresServer.StartAsync(place.LivePlace, place.Directory, Password, CancellationToken.None),
            Throws.InstanceOf<FileNotFoundException>().With.Message.Contains("initdb"));
    }

    // The first line of the lock file, which the superuser may read through the server.
    private const string PostmasterPid = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int";

    private static async Task<object?> ExecuteAsync(PostgresServer server, string sql, string? password = null)
    {
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder
        {
            Host = "127.0.0.1",
            Port = server.Address.Port,
            Username = PostgresServer.User,
            Password = password ?? Password,
            Database = "postgres",
            Pooling = false,
        }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }
}
