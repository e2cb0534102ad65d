using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rehearsal.Aether;
using Rehearsal.Cluster;
using Rehearsal.Controllers;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>
/// All pieces of a world, started as concurrently as they depend on one another: PostgreSQL, the cluster and the doubles at once,
/// the live stack as soon as the cluster answers; its containers wait for the databases and not the other way round.
/// </summary>
public sealed class RehearsalWorld : IAsyncDisposable
{
    public const string Repository = "aether/platform";
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan SessionLifetime = TimeSpan.FromDays(7);

    private readonly UpArguments _arguments;
    private readonly Action<string> _report;
    private readonly Place _place;
    private readonly Faults _faults;
    private readonly Effects _effects = new();
    private readonly CancellationTokenSource _counting = new();
    private readonly WorldIdentity _identity;
    private readonly FileStream _lock;
    private readonly TaskCompletionSource _databases = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly IPEndPoint _postgresAddress;
    private CertificateAuthority? _authority;
    private PostgresServer? _postgres;
    private ObjectStore? _store;
    private Task _counted = Task.CompletedTask;
    private ApiServer? _api;
    private ClusterControllers? _controllers;
    private HttpClient? _edgeClient;
    private AetherStandIn? _standIn;
    private Exchange? _exchange;
    private LinodeApi? _linode;
    private GitHubApi? _github;
    private ImageRegistry? _registry;
    private TraceStore? _traces;
    private RedisDouble? _redis;
    private ControlApi? _control;
    private NameServer[] _nameServers = [];
    private Edge[] _edges = [];

    private RehearsalWorld(UpArguments arguments, Action<string> report, TimeProvider time, FileStream @lock)
    {
        _arguments = arguments;
        _report = report;
        _lock = @lock;
        _faults = Faults.Open(arguments.Directory);
        _identity = WorldIdentity.Open(arguments.Directory);
        _place = new Place(arguments.Directory, KeptPorts.Open(arguments.Directory), _faults.Argument, time) { Effect = _effects.Count };
        _postgresAddress = PostgresServer.AddressIn(_place);
    }

    /// <summary>Starts the world of the directory and returns when it serves and <c>world.json</c> says so.</summary>
    /// <exception cref="RehearsalException">Another process keeps this world, or a piece of it did not start.</exception>
    public static async Task<RehearsalWorld> StartAsync(
        UpArguments arguments, Action<string> report, TimeProvider time, CancellationToken cancellationToken)
    {
        if (!Directory.Exists(arguments.Directory))
        {
            MakePrivate(arguments.Directory);
        }

        var world = new RehearsalWorld(arguments, report, time, Lock(arguments.Directory));
        try
        {
            File.Delete(WorldFile.PathIn(arguments.Directory));
            await world.RunAsync(cancellationToken);
            return world;
        }
        catch
        {
            await world.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        // First what others look at, then what writes, and the stores last.
        WorldFile.Remove(_arguments.Directory);
        await Task.WhenAll([EndAsync(_control), .. _edges.Select(EndAsync)]);
        _databases.TrySetCanceled();
        await EndAsync(_controllers);
        await EndAsync(_standIn);
        await Task.WhenAll(
        [
            EndAsync(_api), EndAsync(_exchange), EndAsync(_github), EndAsync(_registry), EndAsync(_traces), EndAsync(_redis),
            .. _nameServers.Select(EndAsync), EndAsync(_linode), EndAsync(_postgres),
        ]);
        await _counting.CancelAsync();
        await _counted.ContinueWith(
            _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _counting.Dispose();
        _store?.Dispose();
        _edgeClient?.Dispose();
        _authority?.Dispose();
        await _lock.DisposeAsync();
    }

    private static Task EndAsync(IAsyncDisposable? piece)
    {
        return piece?.DisposeAsync().AsTask() ?? Task.CompletedTask;
    }

    private static void MakePrivate(string directory)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(directory);
        }
        else
        {
            Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    private static FileStream Lock(string directory)
    {
        try
        {
            return new FileStream(Path.Combine(directory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException taken)
        {
            var keeper = WorldFile.Keeper(directory) is { } pid ? $" (process {pid.ToString(CultureInfo.InvariantCulture)})" : "";
            throw new RehearsalException($"The world in {directory} is kept up by another process{keeper}.", taken);
        }
    }

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        var isNew = _identity.CreatedWith is null;
        _report(isNew ? $"making a world in {_place.Directory}" : $"bringing up the world in {_place.Directory}");
        using var failing = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var ct = failing.Token;
        var databases = Task.Run(() => StartDatabasesAsync(ct), ct);
        var cluster = Task.Run(() => StartClusterAsync(ct), ct);
        var doubles = Task.Run(() => StartDoublesAsync(ct), ct);
        var live = Task.Run(() => StartLiveAsync(isNew, cluster, doubles, ct), ct);
        Task[] all = [databases, cluster, doubles, live];
        try
        {
            // The first to fail ends the others; waiting for all of them would wait for those that wait for it.
            await foreach (var ended in Task.WhenEach(all).WithCancellation(cancellationToken))
            {
                await ended;
            }
        }
        catch
        {
            await failing.CancelAsync();
            _databases.TrySetCanceled(CancellationToken.None);
            await Task.WhenAll(all).ContinueWith(
                _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            throw;
        }
    }

    private async Task StartDatabasesAsync(CancellationToken ct)
    {
        try
        {
            _postgres = await PostgresServer.StartAsync(_place, _arguments.Postgres, _identity.Token("postgres"), ct);
            _report($"PostgreSQL on {_postgres.Address}");
            await AetherDatabase.PrepareAsync(Dsn("aether"), [Dsn("sim_blue"), Dsn("sim_green")], _place.Time, ct);
            _report("databases prepared");
            _databases.TrySetResult();
        }
        catch (Exception failure)
        {
            _databases.TrySetException(failure);
            throw;
        }
    }

    private async Task StartClusterAsync(CancellationToken ct)
    {
        var directory = Path.Combine(_place.Directory, "cluster");
        Directory.CreateDirectory(directory);
        _store = new ObjectStore(_place.Time, directory);
        _counted = ClusterEffects.CountAsync(_store, _effects, _counting.Token);
        _controllers = new ClusterControllers(
            _store,
            new ControllersOptions
            {
                Directory = Path.Combine(_place.Directory, "node"),
                Images = Image,
                Complain = line => Console.Error.WriteLine(line),
            },
            _place.Time);
        _api = await ApiServer.StartAsync(
            new ApiServerOptions
            {
                Directory = Path.Combine(directory, "api"),
                Port = _place.Ports.Reserve("kubernetes").Port,
                Node = _controllers.Node,
                Fault = _faults.Argument,
            },
            _store,
            _place.Time,
            ct);
        _api.WriteKubeconfig(Kubeconfig);
        _edgeClient = ClientOf(_api);
        _report($"Kubernetes API on {_api.Address}");
    }

    private async Task StartDoublesAsync(CancellationToken ct)
    {
        var exchangePort = _place.Ports.Reserve("exchange").Port;
        var exchange = Exchange.StartAsync(
            new ExchangeOptions(_place.Directory, exchangePort, LiveSlot.AccountsByKey(_identity), _identity.Token("control")),
            _place.Time,
            ct);
        var linode = LinodeApi.StartAsync(
            _place, new LinodeOptions(_identity.Token("linode"), Workload.Zone, Workload.Hosts, _identity.Address("blue")), ct);
        var github = GitHubApi.StartAsync(_place, new GitHubOptions(_identity.Token("github"), Repository), ct);
        var registry = ImageRegistry.StartAsync(
            _place,
            new RegistryOptions(
                _identity.Token("registry"), [.. Workload.All.Select(workload => "aether/" + workload.Name)], PlatformReleases.Tags),
            ct);
        var traces = TraceStore.StartAsync(_place, ct);
        _authority = CertificateAuthority.Open(_place.Directory, _place.Time);
        _redis = RedisDouble.Start(_place, _identity.Token("redis"));
        SeedSessions();
        Directory.CreateDirectory(Path.Combine(_place.Directory, "bucket"));
        _exchange = await exchange;
        _linode = await linode;
        _nameServers = [NameServer.Start(_place, "ns1", _linode), NameServer.Start(_place, "ns2", _linode)];
        _github = await github;
        _registry = await registry;
        _traces = await traces;
        var standIn = new AetherStandInOptions(_faults.Argument, _place.Time, _exchange.Address) { Effect = _effects.Count };
        _standIn = await AetherStandIn.CreateAsync(standIn, ct);
        _report("DNS, GitHub, registry, traces, Redis and exchange answer");
    }

    private async Task StartLiveAsync(bool isNew, Task cluster, Task doubles, CancellationToken ct)
    {
        await doubles;
        var releases = PlatformReleases.Load(_registry!.Address, _exchange!.Address);
        var checkout = Task.Run(
            async () => _github!.Publish(await releases.CheckOutAsync(Path.Combine(_place.Directory, "platform"), ct)), ct);
        await cluster;
        var slot = new LiveSlot(_store!, _identity, _place.Time);
        slot.EnsureIngressClasses();
        if (isNew)
        {
            slot.Seed(
                _authority!, new PlatformStores(Dsn, database => $"redis://:{_identity.Token("redis")}@{_redis!.Address}/{database}"));
        }

        _controllers!.Start();
        _edges = await Task.WhenAll(StartEdgeAsync("blue", ct), StartEdgeAsync("green", ct));
        var exchangeLog = Path.Combine(_place.Directory, "exchange.jsonl");
        _control = await ControlApi.StartAsync(
            _place,
            new ControlOptions(_identity.Token("control"), _faults, _edges, exchangeLog) { Effects = _effects, Held = _api!.HeldAsync },
            ct);
        _report($"edges on {string.Join(" and ", _edges.Select(edge => _identity.Address(edge.Slot)))}, port {_edges[0].HttpsPort}");
        if (isNew)
        {
            var chart = releases.WriteChart(Path.Combine(_place.Directory, "live"), _arguments.LiveRelease, "blue");
            await slot.InstallAsync(_arguments.Helm, Kubeconfig, Path.Combine(_place.Directory, "helm"), chart, ct);
            _report($"helm installed {_arguments.LiveRelease} in {LiveSlot.Namespace}");
        }

        await checkout;
        _report($"platform checkout with {PlatformReleases.Tags.Count} releases");
        var liveSlot = LiveByDns();
        var @namespace = "aether-" + liveSlot;
        await slot.WaitUntilServingAsync(@namespace, _edges.First(edge => edge.Slot == liveSlot), Patience, ct);
        _identity.Created(_arguments.LiveRelease);
        var description = WorldFile.Describe(
            _place.Directory,
            _identity,
            Kubeconfig,
            _authority!.CertificateFile,
            _edges,
            _linode!,
            _nameServers,
            _github!,
            _registry,
            _traces!,
            _exchange.Address,
            Dsn,
            _redis!.Address,
            _control,
            (liveSlot, slot.ReleaseIn(@namespace) ?? _arguments.LiveRelease));
        StateFile.WriteText(WorldFile.PathIn(_place.Directory), description.ToJsonString(Indented) + "\n");
        _report($"look around: {_arguments.Kubectl} --kubeconfig {Kubeconfig} get pods --all-namespaces");
    }

    private string Kubeconfig => Path.Combine(_place.Directory, "kubeconfig");

    private string Dsn(string database)
    {
        return $"postgresql://{PostgresServer.User}:{_identity.Token("postgres")}@{_postgresAddress}/{database}";
    }

    // The slot that DNS points clients at is the live one, whatever it was at the creation.
    private string LiveByDns()
    {
        var green = _identity.Address("green").ToString();
        var record = _linode!.Records.FirstOrDefault(record => record.Type == "A" && record.Name == Workload.Hosts[^1]);
        return record?.Target == green ? "green" : "blue";
    }

    private Task<Edge> StartEdgeAsync(string slot, CancellationToken ct)
    {
        return Edge.StartAsync(_place, new EdgeOptions(slot, "nginx-" + slot, _identity.Address(slot), _edgeClient!), ct);
    }

    private static HttpClient ClientOf(ApiServer api)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.Add(X509Certificate2.CreateFromPem(api.CertificateAuthority));
        var client = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy },
        })
        {
            BaseAddress = api.Address,
            Timeout = Timeout.InfiniteTimeSpan,
        };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", api.Token);
        client.DefaultRequestHeaders.UserAgent.ParseAdd(ApiServer.OwnAgent + "1");
        return client;
    }

    private void SeedSessions()
    {
        foreach (var (slot, database) in new[] { ("blue", 0), ("green", 1) })
        {
            var session = new JsonObject
            {
                ["account_id"] = "company",
                ["expires_at"] = (_place.Time.GetUtcNow() + SessionLifetime).ToString("O", CultureInfo.InvariantCulture),
            };
            _redis!.Set(database, _identity.Token("session-" + slot), session.ToJsonString(), SessionLifetime);
        }
    }

    // A node can pull what the registry has and the stand-in can imitate; a pinned digest must be the registry's.
    private ContainerImage? Image(string image)
    {
        if (image == IngressController.Image)
        {
            return IngressController.Of(@namespace => _edges.FirstOrDefault(edge => "ingress-" + edge.Slot == @namespace));
        }

        var parts = image.Split('@', 2);
        var colon = parts[0].LastIndexOf(':');
        var slash = parts[0].IndexOf('/', StringComparison.Ordinal);
        if (colon < slash || slash < 0 || _registry is null || parts[0][..slash] != _registry.Address || !AetherStandIn.Knows(parts[0]))
        {
            return null;
        }

        var digest = _registry.Digest(parts[0][(slash + 1)..colon], parts[0][(colon + 1)..]);
        return digest is null || (parts.Length == 2 && parts[1] != digest) ? null : StartContainerAsync;
    }

    private async Task<IRunningContainer> StartContainerAsync(ContainerStart start, CancellationToken cancellation)
    {
        await _databases.Task.WaitAsync(cancellation);
        return new Container(await _standIn!.StartAsync(
            new StandInStart(
                start.Namespace,
                start.PodName,
                start.PodUid,
                start.PodIp,
                start.ContainerName,
                start.Image,
                start.Command,
                start.Args,
                start.Environment,
                start.Mounts,
                start.RootDirectory,
                start.Ports,
                start.Log),
            cancellation));
    }

    private sealed class Container(StandInProcess process) : IRunningContainer
    {
        public Task<int> Completion => process.Completion;

        public ValueTask DisposeAsync()
        {
            return process.DisposeAsync();
        }
    }
}
