using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether;
using Rehearsal.World;

namespace Rehearsal.Tests.Aether;

/// <summary>A small world for one test: a stand-in, a Redis, an exchange, databases on demand, and pods in two slots.</summary>
internal sealed class Stand : IAsyncDisposable
{
    public const string AdminToken = "token-of-company";
    private const string RedisPassword = "s3cret";
    private const string Template = "aether_template";

    private static readonly int Net = 128 + (Environment.ProcessId % 100);
    private static readonly Lazy<Task> Prepared = new(async () =>
        await AetherDatabase.PrepareAsync(await SharedPostgres.DsnAsync(Template), [], TimeProvider.System, CancellationToken.None));

    private static int _addresses;

    private readonly List<RunningPod> _pods = [];
    private readonly List<NpgsqlDataSource> _sources = [];
    private readonly Dictionary<string, string> _environment = [];

    private Stand(
        AetherStandIn standIn,
        Exchange exchange,
        RedisDouble redis,
        ConcurrentDictionary<string, string> faults,
        Effects effects,
        string directory,
        TimeProvider time)
    {
        StandIn = standIn;
        Exchange = exchange;
        Redis = redis;
        Faults = faults;
        Effects = effects;
        Directory = directory;
        Time = time;
    }

    public AetherStandIn StandIn { get; }

    public Exchange Exchange { get; }

    public RedisDouble Redis { get; }

    public ConcurrentDictionary<string, string> Faults { get; }

    public Effects Effects { get; }

    public string Directory { get; }

    public TimeProvider Time { get; }

    public string Dsn { get; private set; } = "";

    public NpgsqlDataSource Database { get; private set; } = null!;

    public static async Task<Stand> CreateAsync(TimeProvider? time = null)
    {
        time ??= TimeProvider.System;
        var directory = System.IO.Directory.CreateTempSubdirectory("aether-stand-").FullName;
        var keys = new[] { "company", "director-1", "director-2" }.ToDictionary(account => "key-" + account);
        var exchange = await Exchange.StartAsync(
            new ExchangeOptions(Path.Join(directory, "exchange"), 0, keys, "control"), time, CancellationToken.None);
        var faults = new ConcurrentDictionary<string, string>();
        var effects = new Effects();
        var standIn = await AetherStandIn.CreateAsync(
            new AetherStandInOptions(name => faults.GetValueOrDefault(name), time, exchange.Address) { Effect = effects.Count },
            CancellationToken.None);
        var redis = RedisDouble.Start(new Place(directory, KeptPorts.Open(directory), faults.GetValueOrDefault, time), RedisPassword);
        var stand = new Stand(standIn, exchange, redis, faults, effects, directory, time);
        stand.AddSession(AdminToken, "company");
        stand.AddSession("token-of-director-1", "director-1");
        stand.AddSession("token-of-director-2", "director-2");
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["ADMIN_ALLOWLIST"] = "company,director-1,director-2",
            ["DIRECTOR_ALLOWLIST"] = "director-1,director-2",
            ["SAFE_MODE_ACCOUNTS"] = "company,director-1,director-2",
            ["AETHER_RELEASE"] = "v2026.11.0",
        })
        {
            stand._environment[name] = value;
        }

        return stand;
    }

    /// <summary>A database as the platform's is at the creation of a world; gives its DSN.</summary>
    public static async Task<string> PreparedDatabaseAsync()
    {
        await Prepared.Value;
        return await SharedPostgres.CreateDatabaseAsync(Template);
    }

    /// <summary>Makes one prepared database and puts its DSN into every later pod's environment, for each of its purposes.</summary>
    public async Task WithDatabaseAsync()
    {
        Dsn = await PreparedDatabaseAsync();
        Database = Open(Dsn);
        string[] purposes = ["TIMESCALE_DSN", "AUDIT_DATABASE_URL", "OVERRIDE_DATABASE_URL", "ADMIN_POSTGRES_DSN", "SIM_MODE_DATABASE_URL"];
        foreach (var name in purposes)
        {
            _environment[name] = Dsn;
        }
    }

    public NpgsqlDataSource Open(string dsn)
    {
        var source = SharedPostgres.Open(dsn);
        _sources.Add(source);
        return source;
    }

    public void AddSession(string token, string account, TimeSpan? lifetime = null)
    {
        foreach (var database in new[] { 0, 1 })
        {
            var session = new JsonObject
            {
                ["account_id"] = account,
                ["expires_at"] = (Time.GetUtcNow() + (lifetime ?? TimeSpan.FromHours(1))).ToString("o", CultureInfo.InvariantCulture),
            };
            Redis.Set(database, token, session.ToJsonString());
        }
    }

    public string RedisUrl(int database) => $"redis://:{RedisPassword}@{Redis.Address}/{database}";

    /// <summary>Writes the accounts' exchange keys where <see cref="RunAsync"/> mounts them.</summary>
    public Dictionary<string, string> Keys(params string[] accounts)
    {
        var mounts = new Dictionary<string, string>();
        foreach (var account in accounts)
        {
            var folder = Path.Join(Directory, "keys", account);
            System.IO.Directory.CreateDirectory(folder);
            File.WriteAllText(Path.Join(folder, "credentials.json"), $$"""{"api_key": "key-{{account}}", "api_secret": "c2VjcmV0"}""");
            mounts[$"/var/run/aether/kraken/{account}"] = folder;
        }

        return mounts;
    }

    /// <summary>Starts a pod and waits until it listens.</summary>
    public async Task<RunningPod> StartAsync(
        string workload,
        string slot = "blue",
        Dictionary<string, string>? environment = null,
        Dictionary<string, string>? mounts = null,
        bool readOnlyRoot = false)
    {
        var pod = await LaunchAsync(workload, slot, environment, mounts, readOnlyRoot: readOnlyRoot);
        await pod.ListensAsync();
        return pod;
    }

    /// <summary>Starts a container without waiting for anything.</summary>
    /// <param name="environment">Changes to the common environment; an empty value takes a variable away.</param>
    public async Task<RunningPod> LaunchAsync(
        string workload,
        string slot = "blue",
        Dictionary<string, string>? environment = null,
        Dictionary<string, string>? mounts = null,
        string? image = null,
        string[]? script = null,
        bool readOnlyRoot = false)
    {
        var number = Interlocked.Increment(ref _addresses);
        var ip = string.Create(CultureInfo.InvariantCulture, $"127.{Net}.{number / 250}.{(number % 250) + 1}");
        var database = slot == "blue" ? 0 : 1;
        var variables = new Dictionary<string, string>(_environment)
        {
            ["AETHER_SLOT"] = slot,
            ["OMS_DEPLOYMENT_NAMESPACE"] = $"aether-{slot}",
            ["SESSION_REDIS_URL"] = RedisUrl(database),
            ["SAFE_MODE_REDIS_URL"] = RedisUrl(database),
        };
        foreach (var (name, value) in environment ?? [])
        {
            variables[name] = value;
        }

        var log = new ConcurrentQueue<string>();
        var root = Path.Join(Directory, "root", ip);
        System.IO.Directory.CreateDirectory(root);
        var start = new StandInStart(
            $"aether-{slot}",
            $"{workload}-{number}",
            Guid.NewGuid().ToString(),
            ip,
            workload,
            image ?? $"127.0.0.1:5000/aether/{workload}:v2026.11.0",
            script is null ? [] : ["/bin/sh", "-c"],
            script ?? [],
            variables,
            mounts ?? [],
            root,
            [8000],
            log.Enqueue,
            readOnlyRoot);
        var port = workload switch { "aether-2-ui" => 8080, "kraken-ws-ingest" => 9000, _ => 8000 };
        var pod = new RunningPod(await StandIn.StartAsync(start, CancellationToken.None), start, port, log);
        _pods.Add(pod);
        return pod;
    }

    public async Task<T> AskDatabaseAsync<T>(string sql)
    {
        await using var command = Database.CreateCommand(sql);
        return (T)(await command.ExecuteScalarAsync() ?? throw new AssertionException($"no row: {sql}"));
    }

    /// <param name="from">What follows <c>SELECT count(*) FROM</c>.</param>
    public Task<long> CountAsync(string from) => AskDatabaseAsync<long>($"SELECT count(*) FROM {from}");

    public async ValueTask DisposeAsync()
    {
        foreach (var pod in _pods)
        {
            await pod.DisposeAsync();

            // NUnit shows it with the test's failure, and there only.
            await TestContext.Out.WriteLineAsync($"--- {pod.Start.PodName} ({pod.Start.Namespace})\n{pod.Log}");
        }

        await StandIn.DisposeAsync();
        await Exchange.DisposeAsync();
        await Redis.DisposeAsync();
        foreach (var source in _sources)
        {
            await source.DisposeAsync();
        }

        System.IO.Directory.Delete(Directory, recursive: true);
    }

    /// <summary>Waits for something that will happen; says what did not, when it does not.</summary>
    public static async Task UntilAsync(string what, Func<Task<bool>> happened)
    {
        using var patience = new CancellationTokenSource(Patience.Limit);
        try
        {
            while (!await happened())
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, patience.Token);
            }
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"did not happen within {Patience.Limit}: {what}");
        }
    }

    public static Task UntilAsync(string what, Func<bool> happened) => UntilAsync(what, () => Task.FromResult(happened()));
}

/// <summary>A container of a <see cref="Stand"/>, with the calls a test makes to it.</summary>
internal sealed class RunningPod(StandInProcess process, StandInStart start, int port, ConcurrentQueue<string> log) : IAsyncDisposable
{
    private readonly HttpClient _http = new() { BaseAddress = new Uri($"http://{start.PodIp}:{port}"), Timeout = Patience.Limit };

    public StandInStart Start => start;

    public Task<int> Completion => process.Completion;

    public string Log => string.Join('\n', log);

    public HttpClient Http => _http;

    public Task<Reply> GetAsync(string path, string? token = Stand.AdminToken, params (string Name, string Value)[] headers) =>
        SendAsync(HttpMethod.Get, path, null, token, headers);

    public Task<Reply> PostAsync(
        string path, JsonNode? body = null, string? token = Stand.AdminToken, params (string Name, string Value)[] headers) =>
        SendAsync(HttpMethod.Post, path, body, token, headers);

    /// <summary>The value of a series of <c>/metrics</c>, 0 when it is not there.</summary>
    public async Task<double> MetricAsync(string series)
    {
        var text = (await GetAsync("/metrics", null)).Text;
        var line = text.Split('\n').FirstOrDefault(candidate => candidate.StartsWith(series + " ", StringComparison.Ordinal));
        return line is null ? 0 : double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture);
    }

    public Task ListensAsync() => Stand.UntilAsync($"{start.PodName} listens; its log: {Log}", async () =>
    {
        if (Completion.IsCompleted)
        {
            Assert.Fail($"{start.PodName} ended with {await Completion}: {Log}");
        }

        try
        {
            using var answer = await _http.GetAsync(new Uri("/openapi.json", UriKind.Relative));
            return true;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    });

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        _http.Dispose();
    }

    private async Task<Reply> SendAsync(
        HttpMethod method, string path, JsonNode? body, string? token, (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path);
        if (body is not null)
        {
            request.Content = JsonContent.Create(body);
        }

        if (token is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        }

        foreach (var (name, value) in headers)
        {
            request.Headers.Remove(name);
            request.Headers.TryAddWithoutValidation(name, value);
        }

        using var answer = await _http.SendAsync(request);
        var requestId = answer.Headers.TryGetValues("x-request-id", out var values) ? values.Single() : null;
        return new Reply(answer.StatusCode, await answer.Content.ReadAsStringAsync(), requestId);
    }
}

internal sealed record Reply(HttpStatusCode Code, string Text, string? RequestId)
{
    public int Status => (int)Code;

    public JsonNode Json => JsonNode.Parse(Text)!;

    public string? Detail => Json["detail"]?.ToString();

    public override string ToString() => $"{Status} {Text}";
}
