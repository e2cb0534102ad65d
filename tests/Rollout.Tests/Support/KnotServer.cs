using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using DnsClient;

namespace Rollout.Tests.Support;

/// <summary>
/// A real Knot DNS on loopback, with everything it writes in a private directory. It is the primary of <see cref="Zone"/>, of
/// <see cref="OtherZone"/> and its subzone, and of <see cref="ClosedZone"/>, which takes no updates; a second one beside it may be their
/// secondary, which learns changes by NOTIFY and zone transfer.
/// </summary>
internal sealed class KnotServer : IAsyncDisposable
{
    public const string Zone = "aether.example.com";
    public const string OtherZone = "other.example.com";
    public const string SubZone = "sub.other.example.com";
    public const string ClosedZone = "closed.example.com";
    public const string AddressesOnly = "v6only.example.com";
    public const string KeyName = "rollout.example.com";
    public const string Blue = "127.20.0.10";
    public const string Green = "127.20.0.20";
    public const int Ttl = 300;

    /// <summary>The production hosts.</summary>
    public static readonly string[] Hosts =
    [
        .. ("auth accounts behavior advisor benchmark config fees volatility seasonality "
            + "oms override policy hitl risk strategy secrets universe ui").Split(' ').Select(name => $"{name}.{Zone}"),
    ];

    private static readonly string[] Zones = [Zone, OtherZone, SubZone, ClosedZone, AddressesOnly];

    private readonly string _directory;
    private readonly Process _process;

    private KnotServer(string directory, Process process, int port, Secret key)
    {
        _directory = directory;
        _process = process;
        Port = port;
        Key = key;
    }

    public int Port { get; }

    public string Address => $"127.0.0.1:{Port}";

    /// <summary>The key of <see cref="KeyName"/>, in base64.</summary>
    public Secret Key { get; }

    /// <summary>What the server logged.</summary>
    public string Log => File.ReadAllText(Path.Combine(_directory, "log"));

    /// <param name="algorithm">Of the key.</param>
    /// <param name="hosts">How many further hosts <see cref="OtherZone"/> gets: h1, h2 and so on.</param>
    public static Task<KnotServer> StartAsync(string algorithm = "hmac-sha256", int hosts = 0) =>
        WithFreePortsAsync(() => StartAsync(NewKey(), algorithm, hosts, primary: null, secondary: null, FreePort()));

    /// <summary>A primary, and a secondary that has its zones.</summary>
    public static Task<(KnotServer Primary, KnotServer Secondary)> StartPairAsync() => WithFreePortsAsync(StartPairOnceAsync);

    public static Secret NewKey(int length = 32) => new(Convert.ToBase64String(RandomNumberGenerator.GetBytes(length)));

    /// <summary>Changes a zone as somebody else does: through the server's control socket.</summary>
    /// <param name="edits">As in <c>zone-set oms 300 A 192.0.2.1</c>: knotc's commands without the zone.</param>
    public async Task EditAsync(string zone, params string[] edits)
    {
        await ControlAsync("zone-begin", zone);
        foreach (var edit in edits)
        {
            var words = edit.Split(' ');
            await ControlAsync([words[0], zone, .. words[1..]]);
        }

        await ControlAsync("zone-commit", zone);
    }

    /// <summary>What the server answers now; empty where there is nothing.</summary>
    public async Task<IReadOnlyList<string>> AnswersAsync(string name, QueryType type = QueryType.A)
    {
        var answer = await Client().QueryAsync(name, type);
        return [.. answer.Answers.Select(record => $"{record.TimeToLive} {record.RecordType} {record.ToString()!.Split(' ')[^1].TrimEnd('.')}")];
    }

    /// <summary>How often the zone has changed since it was loaded.</summary>
    public async Task<int> ChangesAsync(string zone = Zone) =>
        (int)(await Client().QueryAsync(zone, QueryType.SOA)).Answers.SoaRecords().Single().Serial - 1;

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    // Another process may take a port between our finding and using it.
    private static async Task<T> WithFreePortsAsync<T>(Func<Task<T>> start)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await start();
            }
            catch (IOException exception) when (attempt < 3 && exception.Message.Contains("cannot bind", StringComparison.Ordinal))
            {
                // With other ports, then.
            }
        }
    }

    private static async Task<(KnotServer Primary, KnotServer Secondary)> StartPairOnceAsync()
    {
        var key = NewKey();
        var (one, two) = (FreePort(), FreePort());
        var primary = await StartAsync(key, "hmac-sha256", hosts: 0, primary: null, secondary: two, one);
        try
        {
            return (primary, await StartAsync(key, "hmac-sha256", hosts: 0, primary: one, secondary: null, two));
        }
        catch
        {
            await primary.DisposeAsync();
            throw;
        }
    }

    private static async Task<KnotServer> StartAsync(Secret key, string algorithm, int hosts, int? primary, int? secondary, int port)
    {
        var knotd = Find("knotd");
        var directory = Directory.CreateTempSubdirectory("rollout-knot-").FullName;
        foreach (var folder in new[] { "run", "db", "zones" })
        {
            Directory.CreateDirectory(Path.Combine(directory, folder));
        }

        if (primary is null)
        {
            foreach (var zone in Zones)
            {
                await File.WriteAllTextAsync(Path.Combine(directory, "zones", $"{zone}.zone"), Content(zone, hosts));
            }
        }

        await File.WriteAllTextAsync(Path.Combine(directory, "knot.conf"), Configuration(directory, key, algorithm, primary, secondary, port));
        var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" -c knot.conf > log 2>&1", knotd]) { WorkingDirectory = directory })!;
        var server = new KnotServer(directory, process, port, key);
        var deadline = TimeProvider.System.GetTimestamp();
        while (!await server.ServesAsync() || process.HasExited)
        {
            if (process.HasExited || TimeProvider.System.GetElapsedTime(deadline) > TimeSpan.FromSeconds(30))
            {
                var log = server.Log;
                await server.DisposeAsync();
                throw new IOException($"Knot DNS does not serve its zones:\n{log}");
            }

            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, CancellationToken.None);
        }

        return server;
    }

    // Over TCP a server that is not there yet is told at once.
    private LookupClient Client() => new(new LookupClientOptions(new IPEndPoint(IPAddress.Loopback, Port))
    {
        UseCache = false,
        Recursion = false,
        UseTcpOnly = true,
    });

    private async Task<bool> ServesAsync()
    {
        try
        {
            foreach (var zone in Zones)
            {
                if ((await AnswersAsync(zone, QueryType.SOA)).Count == 0)
                {
                    return false;
                }
            }

            return true;
        }
        catch (DnsResponseException)
        {
            return false;
        }
    }

    private async Task ControlAsync(params string[] command)
    {
        using var process = Process.Start(
            new ProcessStartInfo(Find("knotc"), ["-s", Path.Combine(_directory, "run", "knot.sock"), .. command])
            {
                RedirectStandardError = true,
                RedirectStandardOutput = true,
            })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.That(process.ExitCode, Is.Zero, $"knotc {string.Join(' ', command)}: {error}{await output}");
    }

    private static string Configuration(string directory, Secret key, string algorithm, int? primary, int? secondary, int port)
    {
        var transfer = primary is not null ? "    master: primary\n    acl: notify\n" : secondary is not null ? "    notify: secondary\n" : string.Empty;
        var blocks = Zones.Select(zone =>
        {
            List<string> rights = zone == ClosedZone ? [] : zone == AddressesOnly ? ["update-v6"] : ["update"];
            if (secondary is not null)
            {
                rights.Add("transfer");
            }

            return $"  - domain: {zone}\n    file: {zone}.zone\n    zonefile-sync: -1\n"
                + (primary is null && rights.Count > 0 ? $"    acl: [{string.Join(", ", rights)}]\n" : string.Empty)
                + transfer;
        });
        return $"""
            server:
                rundir: {directory}/run
                listen: 127.0.0.1@{port}
                udp-workers: 1
                tcp-workers: 2
                background-workers: 1
            log:
              - target: stderr
                any: info
            database:
                storage: {directory}/db
                journal-db-max-size: 16M
                kasp-db-max-size: 16M
                timer-db-max-size: 16M
                catalog-db-max-size: 16M
            key:
              - id: {KeyName}
                algorithm: {algorithm}
                secret: {key.Reveal()}
            remote:
              - id: primary
                address: 127.0.0.1@{primary ?? port}
              - id: secondary
                address: 127.0.0.1@{secondary ?? port}
            acl:
              - id: update
                key: {KeyName}
                action: update
              - id: update-v6
                key: {KeyName}
                action: update
                update-type: AAAA
              - id: transfer
                address: 127.0.0.1
                action: transfer
              - id: notify
                address: 127.0.0.1
                action: notify
            template:
              - id: default
                storage: {directory}/zones
            zone:

            """ + string.Concat(blocks);
    }

    private static string Content(string zone, int hosts)
    {
        var lines = new List<string>
        {
            $"$ORIGIN {zone}.",
            $"$TTL {Ttl}",
            "@ SOA ns1 admin 1 3600 600 86400 60",
            "@ NS ns1",
            "ns1 A 127.0.0.1",
        };
        lines.AddRange(zone switch
        {
            Zone => [.. Hosts.Select(host => $"{host}. A {Blue}"), $"*.deep A {Blue}", "alias CNAME ui", "delegated NS ns.elsewhere.test."],
            OtherZone => [
                $"oms A {Blue}", "oms AAAA 2001:db8::10", $"alias CNAME oms.{Zone}.", $"two A {Blue}", $"two A {Green}", "sub NS ns1.sub",
                .. Enumerable.Range(1, hosts).Select(i => $"h{i}.with-a-name-of-some-length A {Blue}"),
            ],
            SubZone => [$"oms 60 A {Blue}", $"alias CNAME oms.{OtherZone}."],
            _ => [$"oms A {Blue}"],
        });
        return string.Join('\n', lines) + "\n";
    }

    private static string Find(string program)
    {
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var found = path.Append("/usr/sbin").Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);
        Assert.That(found, Is.Not.Null, $"{program} is neither on PATH nor in /usr/sbin: install Knot DNS, as with apt-get install knot.");
        return found!;
    }

    private static int FreePort()
    {
        // Knot takes the same number for UDP; that one is free as well where nothing else runs on loopback.
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
