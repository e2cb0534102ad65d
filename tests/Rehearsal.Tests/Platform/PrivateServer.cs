using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Rehearsal.Tests.Platform;

/// <summary>A PostgreSQL server of one fixture's own. Tests are ignored where its programs are missing.</summary>
internal sealed class PrivateServer : IAsyncDisposable
{
    private readonly Folder _folder = new();
    private readonly string _data;
    private int _databases;

    private PrivateServer() => _data = Path.Combine(_folder.Path, "data");

    public int Port { get; private set; }

    public static async Task<PrivateServer> StartAsync()
    {
        // Asked for first, so that nothing is started where it is missing.
        _ = Checkout.Program("psql");
        var server = new PrivateServer();
        // initdb and postgres refuse root.
        if (Environment.UserName == "root")
        {
            await server.OkAsync("chown", "65534:65534", server._folder.Path);
        }

        await server.AsServerAsync("initdb", "-D", server._data, "-U", "aether", "-A", "trust", "-E", "UTF8", "--no-sync");
        using (var probe = new TcpListener(IPAddress.Loopback, 0))
        {
            probe.Start();
            server.Port = ((IPEndPoint)probe.LocalEndpoint).Port;
        }

        var options = $"-p {server.Port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off";
        await server.AsServerAsync("pg_ctl", "-D", server._data, "-l", Path.Combine(server._data, "log"), "-o", options, "-w", "start");
        return server;
    }

    /// <summary>Makes an empty database and gives its DSN.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = $"d{Interlocked.Increment(ref _databases).ToString(CultureInfo.InvariantCulture)}";
        await QueryAsync(Dsn("postgres"), $"CREATE DATABASE {name}");
        return Dsn(name);
    }

    /// <summary>What a statement answers, one line a row.</summary>
    public static async Task<string> QueryAsync(string dsn, string statement)
    {
        var ran = await Checkout.RunAsync(
            Checkout.Program("psql"), ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", statement]);
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        return ran.Output.Trim();
    }

    /// <summary>Runs a SQL file of the checkout.</summary>
    public static Task<Ran> FileAsync(string dsn, string file, params string[] more) =>
        Checkout.RunAsync(Checkout.Program("psql"), ["-X", "-q", "-d", dsn, .. more, "-f", Checkout.File(file)]);

    public async ValueTask DisposeAsync()
    {
        await AsServerAsync("pg_ctl", "-D", _data, "-m", "immediate", "stop");
        _folder.Dispose();
    }

    private string Dsn(string database) => $"postgresql://aether:unused@127.0.0.1:{Port}/{database}";

    private Task AsServerAsync(string program, params string[] arguments)
    {
        var path = Checkout.Program(program);
        return Environment.UserName == "root"
            ? OkAsync("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", path, .. arguments])
            : OkAsync(path, arguments);
    }

    // pg_ctl's server would keep a redirected output open for as long as it runs: the shell takes it.
    private async Task OkAsync(string program, params string[] arguments)
    {
        var said = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        var ran = await Checkout.RunAsync(
            "/bin/sh", ["-c", "out=$1; shift; exec \"$@\" >\"$out\" 2>&1", "sh", said, program, .. arguments], null, _folder.Path);
        var text = await File.ReadAllTextAsync(said);
        File.Delete(said);
        Assert.That(ran.ExitCode, Is.Zero, $"{program} {string.Join(' ', arguments)}: {text}{ran.Error}");
    }
}
