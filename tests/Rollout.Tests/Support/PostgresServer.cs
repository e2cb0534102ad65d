using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Npgsql;

namespace Rollout.Tests.Support;

/// <summary>
/// One private PostgreSQL server for all tests of a run, started when first asked for, under an account that is not root: initdb refuses
/// root. Each test takes a database of its own.
/// </summary>
internal static class PostgresServer
{
    public const string Password = "pa$$ word/of:tests";

    private static readonly Lazy<Task<Running>> Shared = new(StartAsync);

    /// <summary>Whether TimescaleDB is installed beside the server; Debian does not package it.</summary>
    public static bool HasTimescale { get; } = Binaries() is { } binaries && File.Exists(Path.Combine(binaries, "..", "lib", "timescaledb.so"));

    /// <summary>An empty database; its DSN is a URL with a password in it.</summary>
    public static async Task<string> CreateDatabaseAsync()
    {
        var server = await Shared.Value;
        var name = $"test_{Guid.NewGuid():N}";
        await using var connection = new NpgsqlConnection(server.ConnectionString("postgres"));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"CREATE DATABASE {name}", connection);
        await command.ExecuteNonQueryAsync();
        return $"postgresql://postgres:{Uri.EscapeDataString(Password)}@127.0.0.1:{server.Port}/{name}?sslmode=disable";
    }

    /// <summary>Runs statements in the database of the DSN.</summary>
    public static async Task ExecuteAsync(string dsn, string sql)
    {
        var uri = new Uri(dsn);
        await using var connection = new NpgsqlConnection((await Shared.Value).ConnectionString(uri.AbsolutePath.Trim('/')));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Awaits what a query says of the database of the DSN; it answers with one truth value.</summary>
    public static async Task UntilAsync(string dsn, string sql)
    {
        await using var connection = new NpgsqlConnection((await Shared.Value).ConnectionString(new Uri(dsn).AbsolutePath.Trim('/')));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (await command.ExecuteScalarAsync(limit.Token) is not true)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, limit.Token);
        }
    }

    /// <summary>A role of the server, which all databases share, made by whichever test wants it first.</summary>
    public static Task EnsureRoleAsync(string dsn, string name, string password) => ExecuteAsync(
        dsn, $"DO $do$ BEGIN CREATE ROLE {name} LOGIN PASSWORD '{password.Replace("'", "''", StringComparison.Ordinal)}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$");

    public static async Task StopAsync()
    {
        if (Shared.IsValueCreated && Shared.Value.IsCompletedSuccessfully)
        {
            await (await Shared.Value).DisposeAsync();
        }
    }

    private static async Task<Running> StartAsync()
    {
        if (Binaries() is not { } binaries)
        {
            Assert.Ignore("PostgreSQL's server is not installed: neither PATH nor /usr/lib/postgresql/*/bin has initdb and postgres.");
            throw new InvalidOperationException();
        }

        var directory = Directory.CreateTempSubdirectory("rollout-postgres-").FullName;
        if (Environment.UserName == "root")
        {
            await RunAsync("chown", "nobody", directory);
        }

        var passwordFile = Path.Combine(directory, "password");
        await File.WriteAllTextAsync(passwordFile, Password);
        await RunAsync(
            AsNobody(
                Path.Combine(binaries, "initdb"),
                "-D",
                Path.Combine(directory, "data"),
                "-U",
                "postgres",
                "--auth=scram-sha-256",
                $"--pwfile={passwordFile}",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C"));
        await SpeakTlsAsync(Path.Combine(directory, "data"));
        for (var attempt = 1; ; attempt++)
        {
            var port = FreePort();
            var line = AsNobody(
                Path.Combine(binaries, "postgres"), "-D", Path.Combine(
                    directory,
                    "data"), "-p", $"{port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
                "-c", $"shared_preload_libraries={(HasTimescale ? "timescaledb" : string.Empty)}");
            var process = Process.Start(
                new ProcessStartInfo(line[0], line[1..]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            var server = new Running(process, port, directory);
            if (await server.AnswersAsync())
            {
                return server;
            }

            // Another process may have taken the port in between.
            Assert.That(attempt, Is.LessThan(3), "PostgreSQL did not start");
        }
    }

    // With a certificate of its own, and a role that is let in over TLS only.
    private static async Task SpeakTlsAsync(string data)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var now = TimeProvider.System.GetUtcNow();
        using var certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        var (certificateFile, keyFile, rules) = (Path.Combine(data, "server.crt"), Path.Combine(data, "server.key"), Path.Combine(data, "pg_hba.conf"));
        await File.WriteAllTextAsync(certificateFile, certificate.ExportCertificatePem());
        await File.WriteAllTextAsync(keyFile, key.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(keyFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await File.WriteAllTextAsync(rules, $"hostnossl all tls_only,tls_only_matrix all reject\n{await File.ReadAllTextAsync(rules)}");
        await File.AppendAllTextAsync(Path.Combine(data, "postgresql.conf"), "ssl = on\n");
        if (Environment.UserName == "root")
        {
            await RunAsync("chown", "nobody", certificateFile, keyFile, rules);
        }
    }

    private static string? Binaries()
    {
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var installed = Directory.Exists("/usr/lib/postgresql")
            ? Directory.GetDirectories("/usr/lib/postgresql").OrderByDescending(d => d.Length).ThenByDescending(
                d => d, StringComparer.Ordinal).Select(d => Path.Combine(d, "bin"))
            : [];
        foreach (var directory in path.Concat(installed))
        {
            var initdb = new FileInfo(Path.Combine(directory, "initdb"));
            if (initdb.Exists && File.Exists(Path.Combine(directory, "postgres")))
            {
                // initdb looks for its companions beside the file it really is.
                return Path.GetDirectoryName(initdb.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? initdb.FullName);
            }
        }

        return null;
    }

    private static string[] AsNobody(params string[] command) => Environment.UserName == "root"
        ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", .. command]
        : command;

    private static async Task RunAsync(params string[] line)
    {
        using var process = Process.Start(
            new ProcessStartInfo(
                line[0], line[1..])
            { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = "/" })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero, $"{line[0]}: {error}{await output}");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private sealed record Running(Process Process, int Port, string Directory) : IAsyncDisposable
    {
        public string ConnectionString(string database) => new NpgsqlConnectionStringBuilder
        {
            Host = "127.0.0.1",
            Port = Port,
            Username = "postgres",
            Password = Password,
            Database = database,
            Pooling = false,
            Timeout = 5,
        }.ConnectionString;

        public async Task<bool> AnswersAsync()
        {
            for (var attempt = 0; attempt < 200 && !Process.HasExited; attempt++)
            {
                try
                {
                    await using var connection = new NpgsqlConnection(ConnectionString("postgres"));
                    await connection.OpenAsync();
                    return true;
                }
                catch (NpgsqlException)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, CancellationToken.None);
                }
            }

            return false;
        }

        public async ValueTask DisposeAsync()
        {
            if (!Process.HasExited)
            {
                Process.Kill(entireProcessTree: true);
                await Process.WaitForExitAsync();
            }

            Process.Dispose();
            System.IO.Directory.Delete(Directory, recursive: true);
        }
    }
}
