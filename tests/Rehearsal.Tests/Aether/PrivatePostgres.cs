using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Npgsql;
using Rehearsal.Aether;

namespace Rehearsal.Tests.Aether;

/// <summary>A PostgreSQL of these tests' own, with one prepared database that each test copies.</summary>
[SetUpFixture]
public sealed class PrivatePostgres
{
    private const string Template = "aether_template";
    private const string Nobody = "65534";

    private static readonly SemaphoreSlim Turn = new(1);
    private static string _directory = "";
    private static Process? _server;
    private static int _port;
    private static int _count;

    /// <summary>A fresh copy of what a live world's database is.</summary>
    public static async Task<string> CreateDatabaseAsync(string template = Template)
    {
        var name = $"t{Interlocked.Increment(ref _count)}";
        await Turn.WaitAsync();
        try
        {
            await using var source = NpgsqlDataSource.Create(
                new NpgsqlConnectionStringBuilder(ConnectionString("postgres")) { Pooling = false });
            await using var command = source.CreateCommand($"CREATE DATABASE {name} TEMPLATE {template}");
            await command.ExecuteNonQueryAsync();
        }
        finally
        {
            Turn.Release();
        }

        return Dsn(name);
    }

    public static string Dsn(string database) =>
        string.Create(CultureInfo.InvariantCulture, $"postgresql://postgres@127.0.0.1:{_port}/{database}");

    public static NpgsqlDataSource Open(string dsn) => NpgsqlDataSource.Create(
        new NpgsqlConnectionStringBuilder(ConnectionString(dsn[(dsn.LastIndexOf('/') + 1)..])) { MaxPoolSize = 4 });

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _directory = Path.Join(Path.GetTempPath(), $"aether-tests-{Environment.ProcessId}");
        Directory.CreateDirectory(_directory);
        var data = Path.Join(_directory, "data");
        if (Environment.UserName == "root")
        {
            await RunAsync("chown", Nobody, _directory);
        }

        await RunAsync(Binary("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C");
        _port = FreePort();
        _server = Start(
            Binary("postgres"),
            ["-D", data, "-F", "-k", "", "-p", $"{_port}", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]);
        await AnswersAsync();
        await AetherDatabase.PrepareAsync(Dsn(Template), [], TimeProvider.System, CancellationToken.None);
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (_server is { HasExited: false })
        {
            _server.Kill(entireProcessTree: true);
            await _server.WaitForExitAsync();
        }

        _server?.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private static string ConnectionString(string database) =>
        $"Host=127.0.0.1;Port={_port};Username=postgres;Database={database};Timeout=30";

    private static string Binary(string name)
    {
        var packaged = new DirectoryInfo("/usr/lib/postgresql");
        var versions = packaged.Exists ? packaged.GetDirectories() : [];
        var folders = versions.Select(version => Path.Join(version.FullName, "bin")).OrderDescending();
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':');
        return folders.Concat(path).Select(folder => Path.Join(folder, name)).FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException($"{name} is not under {packaged} or on PATH: these tests need PostgreSQL's server");
    }

    // PostgreSQL refuses to run as root.
    private static Process Start(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        if (Environment.UserName == "root" && program.StartsWith('/'))
        {
            start.FileName = "setpriv";
            foreach (var argument in new[] { $"--reuid={Nobody}", $"--regid={Nobody}", "--clear-groups", program })
            {
                start.ArgumentList.Add(argument);
            }
        }
        else
        {
            start.FileName = program;
        }

        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} did not start");
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        return process;
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Start(program, arguments);
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} ended with {process.ExitCode}: {errors} {await output}");
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task AnswersAsync()
    {
        _server!.BeginOutputReadLine();
        _server.BeginErrorReadLine();
        using var patience = new CancellationTokenSource(Patience.Limit);
        while (true)
        {
            try
            {
                await using var connection = new NpgsqlConnection(ConnectionString("postgres"));
                await connection.OpenAsync(patience.Token);
                return;
            }
            catch (NpgsqlException) when (!_server.HasExited)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, patience.Token);
            }
        }
    }
}
