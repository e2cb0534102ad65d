using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Cluster;
using Rollout.Commands;
using Rollout.Database;
using Rollout.Environments;
using Rollout.Journal;
using Rollout.Monitoring;
using Rollout.Platform;
using Rollout.Playbook;
using Rollout.Reporting;
using Rollout.Supply;
using Rollout.Traffic;

namespace Rollout;

/// <summary>
/// One release on its way: the roles of the slots, the journal, and the modules that act on this environment. Complete once opened; no step
/// checks for a half-filled one.
/// </summary>
public sealed class RolloutRun : IAsyncDisposable
{
    private readonly RolloutContext _context;
    private readonly IReadOnlyList<string> _layers;
    private readonly List<ServiceTunnels> _tunnels = [];
    private HttpClient? _prometheus;
    private readonly string _kubectl;
    private readonly int _journalled;
    private readonly RolloutLock? _lock;
    private readonly ClusterJournals _journals;
    private long _firstOrder;

    private RolloutRun(
        RolloutContext context, Surroundings surroundings, KubernetesCluster cluster, SlotDeployment deployment, string kubectl, string release, ClusterJournals journals, RolloutJournal journal, RolloutLock? held)
    {
        _context = context;
        _lock = held;
        _journals = journals;
        _kubectl = kubectl;
        Surroundings = surroundings;
        Cluster = cluster;
        Deployment = deployment;
        PodFiles = new PodFiles(kubectl, surroundings.Kubeconfig, surroundings.Context, context.Commands, FenceOf(held), context.Time);
        Release = release;
        Journal = journal;
        Folder = FolderOf(context.Settings, release);
        var progress = context.Console.Progress;
        Bucket = BucketOf(surroundings.ArchiveDirectory, context);
        Evidence = new EvidenceFolder(Path.Combine(Folder, "evidence"));
        Zone = ZoneOf(surroundings, context.Settings, FenceOf(held), context.Time, progress);
        NameServers = new NameServers(surroundings.NameServers, context.Time, progress, context.Settings["Dns.Alias"]);
        Resolvers = new Resolvers(surroundings.Resolvers);
        Probe = new HostProbe(surroundings.HttpsPort, surroundings.CertificateAuthority, context.Time);
        Registry = new ImageRegistry(surroundings.RegistryToken, context.Time);
        GitHub = new GitHubRepository(surroundings.GithubApi, surroundings.GithubRepository, surroundings.GithubToken, context.Time, progress);
        Ci = new CiWorkflow(GitHub, context.Time, progress);
        Checkout = new PlatformCheckout(surroundings.Platform, context.Commands);
        Scripts = new AetherScripts(surroundings.Platform, context.Commands, context.Settings["Platform.Python"]!);
        AccountSchemas = AccountSchemas.Parse(context.Settings.List("Platform.Schemas"));
        Database = new AetherDatabase(surroundings.Database, AccountSchemas);
        Schema = new DatabaseSchema(surroundings.Database);
        Bootstrap = new AccountBootstrap(surroundings.Database, context.Commands, AccountSchemas);
        Aggregates = new ContinuousAggregates(surroundings.Database, context.Time, progress, AccountSchemas);
        Governance = new GovernanceLog(surroundings.Database, AccountSchemas);
        _layers = context.Settings.List("Chart.Values");
        _journalled = journal.Entries.Count;
    }

    public RolloutSettings Settings => _context.Settings;

    public RolloutConsole Console => _context.Console;

    public TimeProvider Time => _context.Time;

    public CommandRunner Commands => _context.Commands;

    public Surroundings Surroundings { get; }

    public KubernetesCluster Cluster { get; }

    /// <summary>kubectl and helm, as a person would type them.</summary>
    public SlotDeployment Deployment { get; }

    public PodFiles PodFiles { get; }

    /// <summary>The release tag.</summary>
    public string Release { get; }

    public RolloutJournal Journal { get; }

    /// <summary>Whether an earlier run of this release had begun to freeze live when this one opened.</summary>
    public bool BeganFrozen => Journal.Entries.Take(_journalled).Any(e => e is { Step: nameof(FreezeWrites), Event: JournalEvent.Intent, Part: "fences" });

    /// <summary>Whether this run has written to the journal.</summary>
    public bool WroteToJournal => Journal.Entries.Count > _journalled;

    /// <summary>Where this release's mirror, values and evidence lie: <c>artifacts/ENVIRONMENT/RELEASE</c>.</summary>
    public string Folder { get; }

    public EvidenceFolder Evidence { get; }

    /// <summary>The compliance bucket.</summary>
    public IComplianceBucket Bucket { get; }

    public DnsZone Zone { get; }

    public NameServers NameServers { get; }

    public Resolvers Resolvers { get; }

    public HostProbe Probe { get; }

    public ImageRegistry Registry { get; }

    /// <summary>The platform's repository on GitHub.</summary>
    public GitHubRepository GitHub { get; }

    public CiWorkflow Ci { get; }

    public PlatformCheckout Checkout { get; }

    public AetherScripts Scripts { get; }

    public AccountSchemas AccountSchemas { get; }

    public AetherDatabase Database { get; }

    public DatabaseSchema Schema { get; }

    public AccountBootstrap Bootstrap { get; }

    public ContinuousAggregates Aggregates { get; }

    public GovernanceLog Governance { get; }

    /// <summary>The slot that DNS pointed clients at when this rollout began: the playbook's "blue".</summary>
    public SlotPlace Live { get; private set; } = null!;

    /// <summary>The slot being rolled out: the playbook's "green".</summary>
    public SlotPlace Candidate { get; private set; } = null!;

    /// <summary>The production hosts that move, sorted.</summary>
    public IReadOnlyList<string> Hosts { get; private set; } = [];

    public AetherStack LiveStack { get; private set; } = null!;

    public AetherStack CandidateStack { get; private set; } = null!;

    /// <summary>The chart's folder in the checkout.</summary>
    public string ChartFolder => Shown(Path.Combine(Surroundings.Platform, Settings["Chart.Path"]!));

    /// <summary>
    /// What a fence of this rollout gives as its reason: ours is told from somebody else's by it, and one slot's from the other's, which shows
    /// when both slots share the database that the fence is kept in.
    /// </summary>
    public string FenceReasonOf(SlotPlace slot) => $"aether-rollout {Release} {slot.Name}";

    /// <summary>Where a release's files lie.</summary>
    public static string FolderOf(RolloutSettings settings, string release) =>
        Path.Combine(Path.GetFullPath(settings["Rollout.Artifacts"]!), settings.Environment.ToString().ToLowerInvariant(), release);

    /// <summary>The records of the production hosts at the provider that the settings name.</summary>
    internal static DnsZone ZoneOf(Surroundings surroundings, RolloutSettings settings, Fence fence, TimeProvider time, IProgress<string> progress)
    {
        IDnsProvider provider = string.Equals(settings["Dns.Provider"], "rfc2136", StringComparison.OrdinalIgnoreCase)
            ? new DynamicUpdate(
                settings["Dns.UpdateServer"]!,
                settings["Dns.UpdateKeyName"]!,
                settings["Dns.UpdateAlgorithm"]!,
                settings.SecretOrNull("Secrets.DnsUpdateKey")!,
                fence,
                time,
                progress)
            : new LinodeDomains(surroundings.DnsApi, surroundings.DnsToken, fence, time, progress);
        return new DnsZone(provider, settings["Dns.Alias"], time, progress);
    }

    /// <summary>Enters the environment, reads the journal and finds out who is live.</summary>
    /// <exception cref="RolloutException">The environment does not answer, the journal cannot be trusted, or nobody is live.</exception>
    public static async Task<RolloutRun> OpenAsync(RolloutContext context)
    {
        var settings = context.Settings;
        var token = context.Token;
        var progress = context.Console.Progress;
        Surroundings surroundings;
        if (settings.Environment == RolloutEnvironment.Embedded)
        {
            var world = context.EmbeddedWorld();
            if (context.Request.Targets.All(PlaybookOrder.IsReading) && world.Running() is null)
            {
                throw new RolloutException("No embedded environment is running, so there is no rollout to look at.", "Start one that stays: ./build.sh --target=RehearsalUp");
            }

            var (facts, _) = await world.EnsureAsync(keep: false, token);
            surroundings = Surroundings.From(facts, settings);
        }
        else
        {
            surroundings = Surroundings.From(settings);
        }

        var kubectl = await context.ToolBox.KubectlAsync(token);
        var helm = await context.ToolBox.HelmAsync(token);
        RolloutLock? held = null;
        var cluster = await KubernetesCluster.ConnectAsync(kubectl, surroundings.Kubeconfig, surroundings.Context, context.Time, progress, token);
        try
        {
            var @namespace = settings["Cluster.JournalNamespace"]!;
            var journals = new ClusterJournals(context, cluster);
            var release = settings.Release ?? await journals.NextReleaseAsync(surroundings.Releases, token);
            var changesNothing = context.Request.Targets.All(PlaybookOrder.ChangesNothing);
            held = changesNothing ? null : new RolloutLock(cluster.Http, @namespace, ClusterJournals.Actor, journals.Run, settings.Duration("Lock.Duration"), context.Time, progress);
            var taken = held is null ? null : await held.AcquireAsync(release, context.Request.Targets[0], context.Request.BreakLock, token);
            cluster.Fence = FenceOf(held);
            var journal = journals.Of(release, cluster.Fence);
            await journal.LoadAsync(token);
            var deployment = new SlotDeployment(
                context,
                kubectl,
                helm,
                surroundings.Kubeconfig,
                surroundings.Context,
                () => (context.ProcessRunner as EchoingProcessRunner)?.LastComplaint ?? string.Empty,
                FenceOf(held),
                context.Time,
                progress,
                token);
            var run = new RolloutRun(context, surroundings, cluster, deployment, kubectl, release, journals, journal, held);
            run.RaiseAlarm();
            if (taken is not null)
            {
                await journals.MarkTakeoverAsync(taken, release, journal, cluster.Fence, token);
            }

            await run.TakeRolesAsync(token);
            if (held is not null)
            {
                context.Outcome.Trace?.Begin(
                    release,
                    settings.Environment.ToString().ToLowerInvariant(),
                    run.Live.Name,
                    run.Candidate.Name,
                    journal.Entries.Select(e => e.Data?[PlaybookStep.TraceKey]).OfType<JsonValue>().Select(t => t.GetValue<string>()));
            }

            if (!context.Request.Json)
            {
                run.ShowHeader();
            }

            await run.BeginRehearsalAsync(token);
            return run;
        }
        catch
        {
            if (held is not null)
            {
                await held.ReleaseAsync(CancellationToken.None);
                await held.DisposeAsync();
            }

            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Whether a person said that this rollout may pass the point of no return.</summary>
    public bool MayPassPointOfNoReturn => _context.Request.AcceptPointOfNoReturn;

    /// <summary>Whether this run holds the cluster's lock, as far as it can know without asking.</summary>
    public bool HoldsLock => _lock is { IsHeld: true };

    /// <summary>Whether another run holds the lock now: this one does nothing more.</summary>
    public bool LostLock => _lock?.Lost.IsCancellationRequested == true;

    /// <summary>Shows others at which step this run is.</summary>
    /// <exception cref="RolloutException">Exit code 5: the lock is lost.</exception>
    public Task AtAsync(string step, CancellationToken cancellationToken) => RequireLock().AtAsync(step, cancellationToken);

    /// <summary>Gives the lock back. What it does not reach runs out by itself.</summary>
    public Task ReleaseLockAsync() => _lock?.ReleaseAsync(CancellationToken.None) ?? Task.CompletedTask;

    /// <summary>Who holds the lock of this cluster; null where nobody does.</summary>
    public Task<LockState?> LockAsync(CancellationToken cancellationToken) =>
        RolloutLock.ReadAsync(Cluster.Http, Settings["Cluster.JournalNamespace"]!, Time, cancellationToken);

    /// <summary>Writes the journal's first entry: roles and hosts, which no later run decides anew.</summary>
    public async Task FoundAsync(CancellationToken cancellationToken)
    {
        if (Journal.Entries.Count > 0)
        {
            return;
        }

        await Journal.AppendAsync(
            "Rollout",
            JournalEvent.Started,
            null,
            new JsonObject
            {
                ["live"] = Live.Name,
                ["candidate"] = Candidate.Name,
                ["hosts"] = new JsonArray([.. Hosts.Select(h => JsonValue.Create(h))]),
            },
            cancellationToken);
    }

    /// <summary>The values files of a slot: the checkout's overlays, then the rollout's own, written to the release's folder.</summary>
    /// <param name="name">What the file is for; part of its name.</param>
    public async Task<IReadOnlyList<string>> ValuesAsync(SlotPlace slot, ChartValues values, string name, CancellationToken cancellationToken)
    {
        var layers = await LayersAsync(slot, cancellationToken);
        Directory.CreateDirectory(Folder);
        var file = Path.Combine(Folder, $"values-{name}.json");
        await File.WriteAllTextAsync(file, values.ToValuesFile(layers), cancellationToken);
        return [.. Overlays(slot), Shown(file)];
    }

    /// <summary>The chart's own values and the checkout's overlays for a slot, in Helm's order.</summary>
    public async Task<IReadOnlyList<JsonObject>> LayersAsync(SlotPlace slot, CancellationToken cancellationToken) =>
        [.. (await NamedLayersAsync(slot, cancellationToken)).Select(l => l.Values)];

    /// <summary>The same, each with its file's path in the checkout.</summary>
    public async Task<IReadOnlyList<(string File, JsonObject Values)>> NamedLayersAsync(SlotPlace slot, CancellationToken cancellationToken)
    {
        var layers = new List<(string File, JsonObject Values)>();
        foreach (var path in Overlays(slot).Prepend(Path.Combine(ChartFolder, "values.yaml")))
        {
            var text = await File.ReadAllTextAsync(path, cancellationToken);
            var name = Path.GetRelativePath(Surroundings.Platform, Path.GetFullPath(path)).Replace('\\', '/');
            layers.AddRange(RenderedChart.YamlDocuments(text).OfType<JsonObject>().Select(values => (name, values)));
        }

        return layers;
    }

    /// <summary>The checkout's overlay files for a slot.</summary>
    /// <exception cref="RolloutException">One is missing.</exception>
    public IReadOnlyList<string> Overlays(SlotPlace slot)
    {
        var paths = _layers.Select(l => Shown(Path.Combine(Surroundings.Platform, l.Replace("{slot}", slot.Name, StringComparison.Ordinal)))).ToList();
        return paths.FirstOrDefault(p => !File.Exists(p)) is { } missing
            ? throw new RolloutException($"The overlay values file '{missing}' is not there.", "Chart.Values lists the overlays; they are paths in the checkout.")
            : paths;
    }

    /// <summary>What the candidate's chart renders to with these values.</summary>
    public async Task<RenderedChart> RenderAsync(SlotPlace slot, ChartValues values, string name, CancellationToken cancellationToken) =>
        await Deployment.RenderAsync(Settings["Chart.ReleaseName"]!, ChartFolder, slot.Namespace, await ValuesAsync(slot, values, $"rendered-{name}", cancellationToken));

    /// <summary>The values that the candidate has at this point of the rollout, by what the journal says is done.</summary>
    public ChartValues CandidateValues => new()
    {
        Pins = Fact("TagRelease", "images") is JsonObject images
            ? images.ToDictionary(p => p.Key, p => p.Value!.GetValue<string>())
            : new Dictionary<string, string>(),
        ServesProduction = Journal.Last("FreezeWrites", JournalEvent.Intent, "production-hosts") is not null,
        Replicas = Replicas.Counts(Journal),
        HasExchangeKeys = Journal.IsDone("ReenableTrading"),
        ExchangeKeysChecksum = Journal.IsDone("ReenableTrading") ? Release : string.Empty,
        Environment = Journal.Last("BootstrapObservability", JournalEvent.Intent, "environment")?.Data?["after"] is JsonObject environment
            ? environment.ToDictionary(p => p.Key, p => p.Value!.GetValue<string>())
            : new Dictionary<string, string>(),
    };

    /// <summary>A fact that a finished step left in its <c>done</c> entry; null where it left none.</summary>
    public JsonNode? Fact(string step, string name) => Journal.Last(step, JournalEvent.Done)?.Data?[name];

    /// <summary>Where the rollout stands, by its journal.</summary>
    public RolloutProgress Progress => new([.. Journal.Entries]);

    /// <summary>Journals that a rollback took back what these steps had done.</summary>
    public async Task UndoneAsync(params string[] steps)
    {
        foreach (var step in steps.Where(s => Journal.Entries.Any(e => e.Step == s && e.Event is JournalEvent.Started)))
        {
            await Journal.AppendAsync(step, JournalEvent.Undone, null, null, _context.Token);
        }
    }

    /// <summary>The command that runs a target with this run's environment and release.</summary>
    public string CommandFor(string target) => _context.CommandFor(target);

    /// <summary>Every Service of a slot's stack.</summary>
    public async Task<IReadOnlyList<ServiceEndpoint>> ServicesAsync(SlotPlace slot, CancellationToken cancellationToken) =>
        [.. (await Cluster.ListAsync($"/api/v1/namespaces/{slot.Namespace}/services?labelSelector=app.kubernetes.io/part-of=aether-platform", cancellationToken))
            .Select(s => new ServiceEndpoint(
                s["metadata"]!["name"]!.GetValue<string>(),
                s["spec"]!["ports"]![0]!["port"]!.GetValue<int>().ToString(System.Globalization.CultureInfo.InvariantCulture)))];

    /// <summary>
    /// Watches a slot's traffic: through the Prometheus server of the settings where it scrapes the slot, else by our own scraping. A server
    /// that gives no clean answer is watched through nevertheless: what it lacks is then in the verdict, not passed over.
    /// </summary>
    /// <param name="progress">Told every two seconds how the watch goes.</param>
    public async Task<TrafficWatch> WatchOfAsync(SlotPlace slot, IProgress<string> progress, CancellationToken cancellationToken)
    {
        var role = slot == Live ? "live" : "candidate";
        IMetricsSource source = new ScrapeSource(new PodMetrics(Cluster.Http, slot.Namespace, Time), Time);
        if (Settings["Monitoring.Prometheus"] is { } address)
        {
            var apps = (await Cluster.ListAsync($"/api/v1/namespaces/{slot.Namespace}/pods", cancellationToken)).ToDictionary(
                p => p["metadata"]!["name"]!.GetValue<string>(), p => p["metadata"]!["labels"]?["app"]?.GetValue<string>());
            _prometheus ??= new HttpClient { BaseAddress = new Uri(address.TrimEnd('/') + "/"), Timeout = Timeout.InfiniteTimeSpan };
            var server = new PrometheusSource(_prometheus, slot.Namespace, Settings.Duration("Monitoring.Interval"), Time, apps.GetValueOrDefault);
            try
            {
                if (await server.ScrapesAsync(cancellationToken))
                {
                    source = server;
                }
                else
                {
                    Console.Note($"Prometheus scrapes no pod of {Named(slot)}: its pods are read directly");
                }
            }
            catch (RolloutException exception)
            {
                Console.Warning($"{exception.Message}; it is asked again during the watch");
                source = server;
            }
        }

        return new TrafficWatch(source, slot.Name, role, Time, progress);
    }

    /// <summary>The store of the platform's traces; null where none is set, which means that nobody can tell whether there are any.</summary>
    public TraceStore? OpenTraces() => Surroundings.TracesApi is { } api
        ? new TraceStore(
            api,
            Time,
            string.Equals(Settings["Traces.Store"], "jaeger", StringComparison.OrdinalIgnoreCase) ? TraceStoreKind.Jaeger : TraceStoreKind.Tempo,
            Settings["Traces.Tenant"])
        : null;

    /// <summary>Counts what clients still ask of a slot.</summary>
    public RemainingTraffic RemainingTrafficOf(SlotPlace slot) => new(Cluster.Http, slot.IngressService, Hosts, Time);

    /// <summary>The slot that all hosts point at, or the addresses where they do not agree.</summary>
    public async Task<string> PointingAtAsync(CancellationToken cancellationToken)
    {
        var records = await Zone.ReadAsync(Hosts, cancellationToken);
        var blue = await AddressesAsync(Surroundings.Blue, cancellationToken);
        var green = await AddressesAsync(Surroundings.Green, cancellationToken);
        return string.Join(", ", records.Select(r => IsAt(r, blue) ? "blue" : IsAt(r, green) ? "green" : r.Target).Distinct());
    }

    /// <summary>Stores the release's evidence in the compliance bucket.</summary>
    /// <param name="attempt">Nothing in the bucket is overwritten, so what may have other content than before needs a name of its own.</param>
    /// <param name="more">What belongs to it beside the steps' evidence.</param>
    public Task<ArchiveManifest> ArchiveAsync(string attempt, IReadOnlyList<ArchiveSource> more, CancellationToken cancellationToken) =>
        ComplianceArchive.StoreAsync(Release, [new ArchiveSource(Evidence), .. more], Bucket, ArchiveRoot(Settings, Release), attempt, Journal.Head, Time, Console.Progress, cancellationToken);

    /// <summary>Reads back what was archived.</summary>
    /// <exception cref="RolloutException">Something is missing or not as it was put there.</exception>
    public async Task VerifyArchiveAsync(string attempt, CancellationToken cancellationToken)
    {
        var folder = $"{ArchiveRoot(Settings, Release)}/{attempt}";
        var problems = await ComplianceArchive.VerifyAsync(Bucket, folder, Time, Console.Progress, cancellationToken);
        if (problems.Count > 0)
        {
            throw new RolloutException($"The archive {folder} is not as it was put there: {string.Join("; ", problems)}.");
        }
    }

    /// <summary>Every release's journal in this cluster, the one written last at the end.</summary>
    public Task<IReadOnlyList<(string Release, IReadOnlyList<JournalEntry> Entries)>> JournalsAsync(CancellationToken cancellationToken) =>
        _journals.ListAsync(cancellationToken);

    /// <summary>Refuses where the rollout of another release has touched clients and has not ended.</summary>
    /// <exception cref="RolloutException">Exit code 5; the other release and what ends it are named.</exception>
    public Task RefuseOtherRolloutAsync(CancellationToken cancellationToken) => _journals.RefuseOtherAsync(Release, cancellationToken);

    /// <summary>Who sent orders since this run began, by the rehearsal exchange's log.</summary>
    public async Task<WriterReport> WritersAsync(CancellationToken cancellationToken)
    {
        var (api, token) = RequireControl();
        return ExchangeLog.Examine(await ExchangeLog.ReadAsync(api, token, _firstOrder, cancellationToken));
    }

    /// <summary>Stops the rehearsal's client and tells what it saw; null where there is none.</summary>
    public async Task<Tools.ClientView?> EndClientAsync()
    {
        if (_context.Outcome.Client is { } client)
        {
            _context.Outcome.Client = null;
            _context.Outcome.ClientView = await client.EndAsync(this);
        }

        return _context.Outcome.ClientView;
    }

    /// <summary>
    /// Sets the drill's fault, where this is a drill that begins with the step. 3.1 asks when clients are about to be touched, since before that a failure
    /// just stops. <c>live</c> and <c>candidate</c> in its argument become the slots' names.
    /// </summary>
    public async Task BeginDrillAsync(string step, CancellationToken cancellationToken)
    {
        if (_context.Request.Fault is { } fault && Tools.Drill.Of(fault) is var drill && drill.Begins == step)
        {
            var (api, token) = RequireControl();
            var named = drill.Fault.Replace("candidate", Candidate.Name, StringComparison.Ordinal).Replace("live", Live.Name, StringComparison.Ordinal);
            await Faults.SetAsync(api, token, named, cancellationToken);
            Console.Warning($"drill: {named}");
        }
    }

    /// <summary>Ends the drill's fault.</summary>
    public Task EndDrillAsync(CancellationToken cancellationToken)
    {
        var (api, token) = RequireControl();
        return Faults.ClearAsync(api, token, cancellationToken);
    }

    /// <summary>A slot's IPv4 ingress address.</summary>
    /// <exception cref="RolloutException">Its ingress controller has none.</exception>
    public async Task<string> AddressAsync(SlotPlace slot, CancellationToken cancellationToken) => (await AddressesAsync(slot, cancellationToken)).V4;

    /// <summary>A slot's ingress addresses.</summary>
    /// <exception cref="RolloutException">Its ingress controller has none.</exception>
    public async Task<SlotAddress> AddressesAsync(SlotPlace slot, CancellationToken cancellationToken)
    {
        var ingress = await Cluster.LoadBalancerAsync(slot.IngressService, cancellationToken);
        return ingress.Count > 0
            ? await SlotAddress.FromAsync(slot.Name, ingress, cancellationToken)
            : throw new RolloutException(
                $"The ingress controller of {slot.Name} ({slot.IngressService}) has no load balancer address.",
                $"Each slot needs an ingress controller, a class and an address of its own: kubectl get service -n {slot.IngressService.Replace("/", " ", StringComparison.Ordinal)}");
    }

    /// <summary>The name of a role with its slot, as messages show it.</summary>
    public string Named(SlotPlace slot) => $"{(slot == Live ? "live" : "candidate")} ({slot.Name})";

    public async ValueTask DisposeAsync()
    {
        _prometheus?.Dispose();
        Zone.Dispose();
        Registry.Dispose();
        Ci.Dispose();
        Journal.Dispose();
        (Bucket as IDisposable)?.Dispose();
        foreach (var tunnels in _tunnels)
        {
            await tunnels.DisposeAsync();
        }

        if (_lock is not null)
        {
            await _lock.DisposeAsync();
        }

        await Cluster.DisposeAsync();
    }

    private static Fence FenceOf(RolloutLock? held) => held is null
        ? _ => throw new InvalidOperationException("A run that only looks must not change anything.")
        : held.RequireAsync;

    private RolloutLock RequireLock() => _lock ?? throw new InvalidOperationException("A run that only looks has no lock.");

    // Below the current directory a relative path says the same in a command line that fits on a screen.
    internal static string Shown(string path)
    {
        var relative = Path.GetRelativePath(Directory.GetCurrentDirectory(), path);
        return relative.StartsWith("..", StringComparison.Ordinal) ? path : relative;
    }

    /// <summary>Where everything of a release is in the compliance bucket.</summary>
    internal static string ArchiveRoot(RolloutSettings settings, string release) =>
        $"{settings["Archive.Prefix"]}/{settings.Environment.ToString().ToLowerInvariant()}/{release}";

    /// <summary>The compliance bucket of the settings.</summary>
    /// <param name="directory">A directory as bucket; null where it is S3.</param>
    /// <exception cref="RolloutException">Exit code 2: none is set.</exception>
    internal static IComplianceBucket BucketOf(string? directory, RolloutContext context)
    {
        if (directory is not null)
        {
            return new DirectoryBucket(directory);
        }

        var settings = context.Settings;
        return settings["Archive.Endpoint"] is { } endpoint && settings["Archive.Bucket"] is { } bucket
            && settings["Secrets.ArchiveAccessKey"] is { } key && settings.SecretOrNull("Secrets.ArchiveSecretKey") is { } secret
            ? new S3Bucket(
                new S3Location(new Uri(endpoint), bucket, settings["Archive.Region"]!, key, secret)
                {
                    Lock = settings.WholeNumber("Archive.LockDays") is > 0 and var days ? new ObjectLock(settings["Archive.LockMode"] == "compliance", TimeSpan.FromDays(days)) : null,
                },
                context.Time)
            : throw new RolloutException(
                "No compliance bucket is set.",
                "Set Archive.Directory, or Archive.Endpoint and Archive.Bucket with ROLLOUT_SECRETS_ARCHIVE_ACCESS_KEY and ROLLOUT_SECRETS_ARCHIVE_SECRET_KEY.",
                ExitCode.BadSettings);
    }

    // A rehearsal begins in a sane world, with a mark in the exchange's log and a client that is there before anything happens.
    private async Task BeginRehearsalAsync(CancellationToken cancellationToken)
    {
        if (!_context.Request.Targets.Any(t => string.Equals(t, "Rehearse", StringComparison.OrdinalIgnoreCase)))
        {
            return;
        }

        var (api, token) = RequireControl();
        var orders = await ExchangeLog.ReadAsync(api, token, 0, cancellationToken);
        _firstOrder = orders.Count == 0 ? 0 : orders[^1].Sequence;
        await Faults.ClearAsync(api, token, cancellationToken);
        _context.Outcome.Client ??= await Tools.RehearsalClient.StartAsync(this, cancellationToken);
    }

    private (Uri Api, Secret Token) RequireControl() => Surroundings.Control
        ?? throw new RolloutException($"Rehearse wants a rehearsal's world; {Settings.Environment} has none.", "Nothing was touched.", ExitCode.BadSettings);

    private async Task TakeRolesAsync(CancellationToken cancellationToken)
    {
        if (Settings.Environment == RolloutEnvironment.Embedded && Settings["Rollout.Platform"] is null && _context.Request.GoesForward
            && (_lock is not null || Journal.Entries.Count == 0))
        {
            // The world's checkout is ours to move, but not under a rollout that somebody else runs; a person's is not.
            (await Commands.RunAsync(
                new CommandLine("git", "-c", $"safe.directory={Surroundings.Platform}", "-C", Surroundings.Platform, "checkout", "--quiet", Release) { Echo = false },
                cancellationToken)).OrThrow();
        }

        if (Journal.Entries is [{ Data: { } founded }, ..])
        {
            Live = Surroundings.Slot(founded["live"]!.GetValue<string>());
            Hosts = [.. founded["hosts"]!.AsArray().Select(h => h!.GetValue<string>())];
        }
        else
        {
            var rendered = await RenderAsync(Surroundings.Blue, new ChartValues { ServesProduction = true, ServesStaging = false }, "hosts", cancellationToken);
            Hosts = rendered.Hosts;
            Live = await FindLiveAsync(cancellationToken);
        }

        Candidate = Surroundings.Other(Live);
        LiveStack = StackOf(Live);
        CandidateStack = StackOf(Candidate);
    }

    private async Task<SlotPlace> FindLiveAsync(CancellationToken cancellationToken)
    {
        var records = await Zone.ReadAsync(Hosts, cancellationToken);
        var blue = await AddressesAsync(Surroundings.Blue, cancellationToken);
        var green = await AddressesAsync(Surroundings.Green, cancellationToken);
        if (blue.V4 == green.V4 || (blue.V6 is not null && blue.V6 == green.V6))
        {
            throw new RolloutException(
                $"The slots share an ingress address (blue: {blue}, green: {green}); there would be nothing to flip.",
                "Each slot needs its own ingress controller, class and load balancer.");
        }

        return records.All(r => IsAt(r, blue)) ? Surroundings.Blue
            : records.All(r => IsAt(r, green)) ? Surroundings.Green
            : throw new RolloutException(
                $"The {Hosts.Count} hosts point at {string.Join(", ", records.Select(r => r.Target).Distinct())}; blue is {blue} and green is {green}, so it cannot be said which slot is live.",
                "Point all hosts at one slot, or continue the rollout that moved some of them: ./build.sh --target=Status",
                ExitCode.Held);
    }

    private static bool IsAt(HostRecord record, SlotAddress slot) => record.Target == (record.Type == "AAAA" ? slot.V6 : slot.V4);

    private AetherStack StackOf(SlotPlace slot) => new(
        slot.Name,
        slot.Namespace,
        Cluster.Http,
        new ServiceNames(),
        slot.Session,
        Settings.List("Platform.Accounts"),
        Time,
        Console.Progress,
        RouteTo(slot),
        FenceOf(_lock));

    private ServiceRoute RouteTo(SlotPlace slot)
    {
        if (Surroundings.PodsAnswerDirectly)
        {
            return new PodAddresses(Cluster.Http, slot.Namespace, Time).FindAsync;
        }

        var tunnels = new ServiceTunnels(_kubectl, Surroundings.Kubeconfig, Surroundings.Context, slot.Namespace, "80", Time, Console.Command);
        _tunnels.Add(tunnels);
        return tunnels.OpenAsync;
    }

    // Whatever else there is to say: first that nobody trades.
    private void RaiseAlarm()
    {
        if (Progress.FrozenSince is { } since && !_context.Request.Json)
        {
            Console.Alarm(
                $"NO SLOT TRADES since {since:yyyy-MM-dd HH:mm:ss} UTC ({Waiting.Words(Time.GetUtcNow() - since)}): an earlier run of {Release} froze writes and did not end the freeze.");
        }
    }

    private void ShowHeader()
    {
        Console.Header("Aether Rollout", [
            ("environment", Settings.Environment.ToString().ToLowerInvariant()),
            ("release", Release),
            ("live", $"{Live.Name} (namespace {Live.Namespace})"),
            ("candidate", $"{Candidate.Name} (namespace {Candidate.Namespace})"),
            ("cluster", $"{Surroundings.Context ?? "current context"}{(Surroundings.Kubeconfig is { } k ? $" of {k}" : string.Empty)}"),
            ("journal", $"{Settings["Cluster.JournalNamespace"]}/rollout-{Release.ToLowerInvariant()}, {Journal.Entries.Count} entries, {Journal.Bytes / 1000} of {RolloutJournal.Limit / 1000} kB"),
        ]);
    }
}
