using System.Globalization;
using Npgsql;
using Rehearsal.Tests.World;
using Rehearsal.World;

namespace Rehearsal.Tests;

/// <summary>One PostgreSQL server for all tests that need a database: the world's own, started when the first of them asks.</summary>
[SetUpFixture]
public sealed class SharedPostgres
{
    private const string Password = "of-the-tests";

    private static readonly Lazy<Task<Running>> Started = new(StartAsync);
    private static readonly SemaphoreSlim Turn = new(1);
    private static int _databases;

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (Started.IsValueCreated)
        {
            var (place, server) = await Started.Value;
            await server.DisposeAsync();
            place.Dispose();
        }
    }

    /// <summary>Makes a database, empty unless a template is named, and gives its DSN.</summary>
    internal static async Task<string> CreateDatabaseAsync(string template = "template1")
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"test_{Interlocked.Increment(ref _databases)}");
        await using var postgres = Open(await DsnAsync("postgres"));
        await using var create = postgres.CreateCommand($"CREATE DATABASE {name} TEMPLATE {template}");

        // PostgreSQL refuses to copy a template that somebody else is copying.
        await Turn.WaitAsync();
        try
        {
            await create.ExecuteNonQueryAsync();
        }
        finally
        {
            Turn.Release();
        }

        return await DsnAsync(name);
    }

    /// <summary>Where a database of that name is or would be.</summary>
    internal static async Task<string> DsnAsync(string database)
    {
        return $"postgresql://{PostgresServer.User}:{Password}@{(await Started.Value).Server.Address}/{database}";
    }

    internal static NpgsqlDataSource Open(string dsn)
    {
        var address = new Uri(dsn);
        return NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder
        {
            Host = address.Host,
            Port = address.Port,
            Username = PostgresServer.User,
            Password = Password,
            Database = address.AbsolutePath.TrimStart('/'),
            MaxPoolSize = 4,
            Timeout = 30,
        });
    }

    private static async Task<Running> StartAsync()
    {
        var place = new TestPlace();
        return new Running(place, await PostgresServer.StartAsync(place.LivePlace, null, Password, CancellationToken.None));
    }

    private sealed record Running(TestPlace Place, PostgresServer Server);
}
