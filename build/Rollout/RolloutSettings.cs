using System.Globalization;
using Microsoft.Extensions.Configuration;

namespace Rollout;

/// <summary>Where the tasks act (design, "Words").</summary>
public enum RolloutEnvironment
{
    Embedded,
    Kind,
    Staging,
    Production,
}

/// <summary>What happens when a step fails after clients were touched.</summary>
public enum RollbackPolicy
{
    /// <summary>The run rolls back by itself.</summary>
    Automatic,

    /// <summary>The run asks on a terminal; without one it holds.</summary>
    Ask,

    /// <summary>The run stops and keeps everything as it is.</summary>
    Hold,
}

/// <summary>
/// One setting: <c>[Dns] Timeout</c> in a file, <c>ROLLOUT_DNS_TIMEOUT</c> in the environment and <c>--dns-timeout</c> as an argument
/// are spelled from this one declaration.
/// </summary>
/// <param name="Key"><c>Section.Name</c>.</param>
/// <param name="Meaning">One line for people: what it is, its unit.</param>
/// <param name="Default">Null where there is none.</param>
/// <param name="Allowed">What is accepted, in words; shown when a value is refused.</param>
/// <param name="Accepts">Whether the text is a legal value.</param>
/// <param name="IsSecret">Secrets come from the environment or a file named by <c>…_FILE</c>, never from a configuration file or an argument.</param>
/// <param name="RequiredOutside">Whether every environment but <c>embedded</c>, whose world supplies it, must have it.</param>
public sealed record Setting(
    string Key, string Meaning, string? Default, string Allowed, Func<string, bool> Accepts, bool IsSecret = false, bool RequiredOutside = false)
{
    /// <summary>The setting and its value that make this one necessary; null: nothing does but <see cref="RequiredOutside"/>.</summary>
    public (string Key, string Value)? RequiredWith { get; init; }

    // What is rolled out, where to, and what counts as good; waits, and where files and servers are, may change from run to run.
    private static readonly string[] Fixed = ["Slots.", "Chart.Path", "Chart.ReleaseName", "Chart.Values", "Dns.Provider", "Dns.Api", "Dns.Alias", "Dns.UpdateServer", "Monitoring.Cycles", "Monitoring.ErrorPercent",
        "Monitoring.LatencyPercent", "Github.Repository", "Github.Workflow", "Github.Job", "Traces.Otlp", "Traces.ExporterPort", "Platform.Accounts", "Platform.Schemas", "Platform.WithoutExporter", "Platform.Aggregates", "Platform.Bootstrap", "Platform.Migrations"];

    /// <summary>Whether 1.1 fixes it for the release (invariant 5).</summary>
    public bool IsFixed => !IsSecret && Array.Exists(Fixed, f => Key.StartsWith(f, StringComparison.Ordinal));

    public string Section => Key[..Key.IndexOf('.', StringComparison.Ordinal)];

    public string Name => Key[(Key.IndexOf('.', StringComparison.Ordinal) + 1)..];

    public string Variable => "ROLLOUT_" + Argument.Replace('-', '_').ToUpperInvariant();

    public string Argument => Section == "Rollout"
        ? string.Join('-', Words(Name)).ToLowerInvariant()
        : string.Join('-', Words(Section).Concat(Words(Name))).ToLowerInvariant();

    private static IEnumerable<string> Words(string name)
    {
        var start = 0;
        for (var i = 1; i < name.Length; i++)
        {
            if (char.IsUpper(name[i]))
            {
                yield return name[start..i];
                start = i;
            }
        }

        yield return name[start..];
    }
}

/// <summary>A setting's value and where it came from, for <c>--target=Status --verbosity=diagnostic</c>.</summary>
public sealed record SettingValue(Setting Setting, string? Value, string Source)
{
    public string Shown => Setting.IsSecret ? (Value is null ? "(not set)" : "***") : Value ?? "(not set)";
}

/// <summary>
/// Everything that can be configured, resolved once in the order argument, environment variable, <c>environments/NAME.config</c>,
/// <c>cake.config</c>, default, and checked whole: <see cref="Resolve"/> reports every problem at once.
/// </summary>
public sealed class RolloutSettings
{
    private static readonly Setting[] Declarations =
    [
        Choice("Rollout.Environment", "where the tasks act", "embedded", "embedded", "kind", "staging", "production"),
        new("Rollout.Release", "the release tag", null, "a Git and image tag: letters, digits, '.', '_', '-', at most 63 characters", IsTag),
        new("Rollout.Platform", "the Aether checkout that is rolled out", null, "an existing directory", Directory.Exists, RequiredOutside: true),
        Choice("Rollout.Rollback", "what to do when a step fails after clients were touched; automatic in embedded and kind", null, "automatic", "ask", "hold"),
        Text("Rollout.Artifacts", "where journals' mirrors and evidence go", "artifacts"),
        Text("Rollout.Directory", "where the embedded world lives", ".rehearsal"),
        Text("Cluster.Kubeconfig", "kubeconfig file; KUBECONFIG or ~/.kube/config where not set", null),
        Text("Cluster.Context", "the kubeconfig's context; it must be named so that nobody acts on the current one by accident", null, requiredOutside: true),
        Text("Cluster.Services", "how services that want a session are reached: port-forward, or pods where pod addresses answer directly", "port-forward"),
        Text("Cluster.JournalNamespace", "where journals are kept", "aether-rollouts"),
        Time("Lock.Duration", "after this long without a renewal the lock of a run that cannot be seen to be dead is taken over, seconds", "30"),
        Text("Slots.BlueNamespace", "namespace of blue", "aether-blue"),
        Text("Slots.GreenNamespace", "namespace of green", "aether-green"),
        Text("Slots.BlueIngressClass", "ingress class of blue", "nginx-blue"),
        Text("Slots.GreenIngressClass", "ingress class of green", "nginx-green"),
        Text("Slots.BlueIngressService", "Service of blue's ingress controller, NAMESPACE/NAME; its load balancer address is the slot's", "ingress-blue/ingress-nginx-controller"),
        Text("Slots.GreenIngressService", "Service of green's ingress controller", "ingress-green/ingress-nginx-controller"),
        Text("Chart.Path", "the chart, in the checkout", "deploy/helm/aether-platform"),
        Text("Chart.ReleaseName", "the Helm release in each slot's namespace", "aether"),
        Text("Chart.Values", "overlay values files in the checkout, comma separated; {slot} becomes blue or green", "deploy/environments/values-rehearsal.yaml,deploy/environments/values-{slot}.yaml"),
        Time("Chart.Timeout", "how long the stack may take to become ready, seconds", "300"),
        Choice("Dns.Provider", "where the hosts' records are edited: Linode's API, or dynamic update of a name server (RFC 2136)", "linode", "linode", "rfc2136"),
        Text("Dns.Alias", "the one name that every production host is a CNAME of, so that a flip writes one record; empty: each host has its own A record", null),
        new("Dns.Api", "Linode API", "https://api.linode.com/v4", "an http or https address without credentials in it", IsUri),
        Text("Dns.NameServers", "authoritative servers, comma separated host[:port]; discovered by NS where empty", null),
        Text("Dns.Resolvers", "caching resolvers that are looked at after the flip, comma separated address[:port]; the machine's own where empty", null),
        Text("Dns.UpdateServer", "primary name server that takes dynamic updates, host[:port]", null) with { RequiredWith = ("Dns.Provider", "rfc2136") },
        Text("Dns.UpdateKeyName", "name of the TSIG key that signs dynamic updates", null) with { RequiredWith = ("Dns.Provider", "rfc2136") },
        Choice("Dns.UpdateAlgorithm", "algorithm of the TSIG key", "hmac-sha256", "hmac-sha256", "hmac-sha512", "hmac-sha1"),
        Time("Dns.Timeout", "how long all name servers may take to agree, seconds", "1200"),
        Time("Database.LockTimeout", "how long trying or running a migration may wait for a lock, seconds; live's statements wait behind it", "1"),
        Number("Traffic.HttpsPort", "the ingresses' HTTPS port", "443", 1, 65535),
        Text("Traffic.CertificateAuthority", "PEM file of the authority that signed the hosts' certificates; the system's where not set", null),
        Time("Traffic.IdleWindow", "for how long a slot's remaining traffic is counted before it is retired, seconds", "10"),
        Number("Traffic.IdleRate", "requests a second at its ingress up to which a slot counts as left by its clients", "1", 0, 1000),
        Number("Traffic.CertificateDays", "days for which every production host's certificate must still be valid when clients are sent to the candidate", "7", 0, 365),
        Time("Fence.Quiet", "for how long no order may be seen before a fence counts as proven, seconds", "3"),
        Time("Fence.Timeout", "how long a fence may take to be proven, seconds", "60"),
        Time("Fence.SessionMargin", "a session must be valid for at least this long when writes are frozen, and for as long as the freeze could take by its time limits, seconds", "900"),
        Number("Monitoring.Cycles", "scaling evaluations to watch after the flip", "2", 2, 100),
        Time("Monitoring.Baseline", "how long live is measured before the freeze, seconds", "10"),
        Time("Monitoring.Interval", "time between two scrapes, seconds", "1"),
        Time("Monitoring.Timeout", "how long the watch may take, seconds", "900"),
        Time("Monitoring.OrdersTimeout", "how long orders may take to flow again, seconds", "60"),
        Number("Monitoring.ErrorPercent", "how many percent more requests than live's may fail", "1", 0, 100),
        Number("Monitoring.LatencyPercent", "how many percent slower than live p95 may be", "50", 0, 10000),
        new("Monitoring.Prometheus", "a Prometheus server that scrapes the slots with the labels namespace and pod; where not set, or where it does not scrape a slot, the pods are read directly", null, "an http or https address without credentials in it", IsUri),
        Time("Monitoring.AfterTrading", "how long the candidate is watched once more when it trades, seconds", "30"),
        Text("Github.Repository", "OWNER/NAME of the platform", null, requiredOutside: true),
        new("Github.Api", "GitHub's API", "https://api.github.com/", "an http or https address without credentials in it", IsUri),
        Text("Github.Workflow", "the workflow that must be green for the release's commit", "ci.yaml"),
        Text("Github.Job", "the job in it that must have succeeded", "verify"),
        Choice("Github.Dispatch", "whether 2.5 starts the workflow where the release's commit has no run of it: never, or when-missing, which needs workflow_dispatch in it and a token that writes actions", "never", "never", "when-missing"),
        Text("Github.DispatchInput", "the workflow's input that its run-name shows, by which a started run is found for certain; not set: it has none", null),
        Time("Github.Timeout", "how long to wait for a run in progress, seconds", "3600"),
        new("Traces.Api", "the trace store's API; traces are reported off where not set", null, "an http or https address without credentials in it", IsUri),
        Choice("Traces.Store", "the API that it speaks: Tempo's or Jaeger's", "tempo", "tempo", "jaeger"),
        Text("Traces.Tenant", "sent to it as X-Scope-OrgID", null),
        new("Traces.Otlp", "OTLP/HTTP traces endpoint given to every service, with /v1/traces", null, "an http or https address without credentials in it", IsUri),
        Time("Traces.Timeout", "how long a probe's trace may take to be found, seconds", "30"),
        Number("Traces.ExporterPort", "PROMETHEUS_EXPORTER_PORT given to every service", "9464", 1, 65535),
        Text("Archive.Directory", "a directory as compliance bucket", null),
        new("Archive.Endpoint", "S3 endpoint without the bucket", null, "an http or https address without credentials in it", IsUri),
        Text("Archive.Bucket", "S3 bucket", null),
        Text("Archive.Region", "S3 region for signing", "us-east-1"),
        Text("Archive.Prefix", "first part of every key", "rollouts"),
        Number("Archive.LockDays", "for how many days Object Lock keeps what is archived in S3 from being deleted or replaced; 0 is no lock", "0", 0, 36500),
        Choice("Archive.LockMode", "governance: a key with a special right can end a lock early; compliance: nobody can", "governance", "governance", "compliance"),
        Text("Platform.Accounts", "accounts that trade, comma separated", "company,director-1,director-2"),
        Text("Platform.Schemas", "accounts whose tables are in a schema of another name than the platform derives, as director-1=trading_one, comma separated", null),
        Text("Platform.WithoutExporter", "workloads that serve files and have no exporters, comma separated", "aether-2-ui"),
        Text("Platform.AdminSource", "source file of ops/migrate_admin_repository.py, in the checkout", "ops/admin_accounts.json"),
        Text("Platform.Python", "the Python 3 that runs the platform's programs, a name on PATH or a path, as a virtual environment's", "python3"),
        Text("Platform.Bootstrap", "psql file that makes the tables of an account that lacks them, as ops/timescale_bootstrap.sql, in the checkout; empty: missing tables are an error", null),
        Text("Platform.Migrations", "what migrates the database: a script as ops/run_migrations.py, or alembic.ini files, comma separated; paths in the checkout", "ops/run_migrations.py"),
        Text("Platform.Aggregates", "continuous aggregates of each account", "events_hourly"),
        Text("Platform.AcceptedApiChanges", "breaking changes of the candidate's API that are wanted, as 2.4 names them, comma separated; or all", null),
        Choice("Governance.Require", "where a governance event must be found: anywhere, or in an audit trail", "any", "any", "trail"),
        Choice("Governance.SnapshotRow", "whether 1.3 writes a row about its snapshot into the audit account's trail", "on", "on", "off"),
        Number("Rehearsal.ClientRate", "requests a second of the client that a rehearsal has; 0 is none", "50", 0, 5000),
        Password("Secrets.LinodeToken", "Linode token, scope domains:read_write", required: true) with { RequiredWith = ("Dns.Provider", "linode") },
        Password("Secrets.DnsUpdateKey", "TSIG key of dynamic updates, base64") with { RequiredWith = ("Dns.Provider", "rfc2136") },
        Password("Secrets.GithubToken", "GitHub token, scopes contents:read and actions:read; actions:write with Github.Dispatch"),
        Password("Secrets.RegistryToken", "registry credentials, USER:PASSWORD or a token"),
        Password("Secrets.SessionBlue", "admin session of blue", required: true),
        Password("Secrets.SessionGreen", "admin session of green", required: true),
        Password("Secrets.RedisBlue", "Redis of blue's safe mode, StackExchange.Redis form", required: true),
        Password("Secrets.RedisGreen", "Redis of green's safe mode", required: true),
        Password("Secrets.Database", "DSN of the accounts', audit and admin database, postgresql://…", required: true),
        Password("Secrets.ArchiveAccessKey", "bucket access key"),
        Password("Secrets.ArchiveSecretKey", "bucket secret key"),
    ];

    private static readonly string[] EngineSections = ["Paths.", "Nuget.", "Settings."];
    private static readonly string[] Switches = ["json", "verify", "fault", "again", "break-lock", "accept-point-of-no-return", "from", .. Tools.TortureRequest.Options];

    private readonly Dictionary<string, SettingValue> _values;

    private RolloutSettings(Dictionary<string, SettingValue> values) => _values = values;

    /// <summary>Every setting there is, in the order of the documentation.</summary>
    public static IReadOnlyList<Setting> All => Declarations;

    /// <summary>Every setting with its value and source.</summary>
    public IEnumerable<SettingValue> Values => Declarations.Select(d => _values[d.Key]);

    public RolloutEnvironment Environment => Enum.Parse<RolloutEnvironment>(this["Rollout.Environment"]!, ignoreCase: true);

    /// <summary>The release tag; null in <c>embedded</c>, where the world's next one is taken.</summary>
    public string? Release => this["Rollout.Release"];

    public RollbackPolicy Rollback => this["Rollout.Rollback"] is { } policy
        ? Enum.Parse<RollbackPolicy>(policy, ignoreCase: true)
        : Environment is RolloutEnvironment.Embedded or RolloutEnvironment.Kind ? RollbackPolicy.Automatic : RollbackPolicy.Hold;

    /// <summary>Whether a stage runs what is missing of its chain; where not, it refuses and names the command (design, "The command line").</summary>
    public bool RunsWholeChain => Environment is RolloutEnvironment.Embedded or RolloutEnvironment.Kind;

    /// <summary>A setting's text by its key; null where it has neither value nor default.</summary>
    public string? this[string key] => _values[key].Value;

    public TimeSpan Duration(string key) => TimeSpan.FromSeconds(double.Parse(this[key]!, CultureInfo.InvariantCulture));

    /// <summary>What the judge allows.</summary>
    public Monitoring.JudgeThresholds JudgeThresholds => new()
    {
        ErrorRatioMargin = WholeNumber("Monitoring.ErrorPercent") / 100.0,
        LatencyFactor = 1 + (WholeNumber("Monitoring.LatencyPercent") / 100.0),
    };

    public int WholeNumber(string key) => int.Parse(this[key]!, CultureInfo.InvariantCulture);

    public IReadOnlyList<string> List(string key) =>
        this[key]?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];

    /// <summary>The command that runs a target with the same environment and release.</summary>
    public string CommandFor(string target) => CommandFor(target, Release);

    /// <summary>The command that runs a target with the same environment, for a release.</summary>
    public string CommandFor(string target, string? forRelease)
    {
        var environment = Environment == RolloutEnvironment.Embedded ? string.Empty : $" --environment={Environment.ToString().ToLowerInvariant()}";
        var release = forRelease is { } tag ? $" --release={tag}" : string.Empty;
        return $"./build.sh --target={target}{environment}{release}";
    }

    public Secret? SecretOrNull(string key) => this[key] is { } value ? new Secret(value) : null;

    /// <summary>Resolves and checks everything.</summary>
    /// <param name="arguments">What the command line gave, name without dashes.</param>
    /// <param name="variables">The process's environment.</param>
    /// <param name="root">The folder of <c>cake.config</c> and <c>environments/</c>.</param>
    /// <exception cref="RolloutException">Exit code 2; the message lists every problem: key, value, what is allowed, source.</exception>
    public static RolloutSettings Resolve(
        IReadOnlyDictionary<string, string?> arguments, IReadOnlyDictionary<string, string?> variables, string root)
    {
        var problems = new List<string>();
        var cake = Load(Path.Combine(root, "cake.config"), problems);
        var environment = Layered("Rollout.Environment", arguments, variables, null, cake, problems);
        var file = environment.Value is { } name && environment.Setting.Accepts(name)
            ? Load(Path.Combine(root, "environments", name.ToLowerInvariant() + ".config"), problems)
            : null;
        var values = Declarations.ToDictionary(d => d.Key, d => Layered(d.Key, arguments, variables, file, cake, problems));
        CheckUnknown(arguments, variables, file, cake, problems);
        var isKnown = environment.Value is { } known && environment.Setting.Accepts(known);
        var embedded = string.Equals(environment.Value, "embedded", StringComparison.OrdinalIgnoreCase);
        foreach (var value in values.Values)
        {
            if (value.Value is not null && !value.Setting.Accepts(value.Value))
            {
                var shown = value.Setting.IsSecret ? "its value" : $"'{value.Value}'";
                problems.Add($"{value.Setting.Key}: {shown} from {value.Source} is not {value.Setting.Allowed}.");
            }
            else if (value.Value is null && isKnown && IsRequired(value.Setting))
            {
                var how = value.Setting.IsSecret
                    ? $"set {value.Setting.Variable} or {value.Setting.Variable}_FILE"
                    : $"give --{value.Setting.Argument}=…, set {value.Setting.Variable}, or write [{value.Setting.Section}] {value.Setting.Name}=… into environments/{environment.Value}.config";
                problems.Add($"{value.Setting.Key} ({value.Setting.Meaning}) is missing: {how}.");
            }
        }

        bool IsRequired(Setting setting) =>
            (setting.RequiredWith is not { } with || string.Equals(values[with.Key].Value, with.Value, StringComparison.OrdinalIgnoreCase))
            && (setting.RequiredOutside || setting.Key == "Rollout.Release" ? !embedded : setting.RequiredWith is not null);

        return problems.Count == 0
            ? new RolloutSettings(values)
            : throw new RolloutException(
                $"{problems.Count} {(problems.Count == 1 ? "setting is" : "settings are")} wrong; nothing was touched:\n  - {string.Join("\n  - ", problems.Distinct())}",
                "The README lists every setting; --target=Status --verbosity=diagnostic shows them with their sources.",
                ExitCode.BadSettings);
    }

    /// <summary>The known word nearest to a misspelt one; null when none is near.</summary>
    public static string? Nearest(string word, IEnumerable<string> known)
    {
        var best = known.Select(k => (Word: k, Distance: Distance(word.ToLowerInvariant(), k.ToLowerInvariant())))
            .OrderBy(p => p.Distance).FirstOrDefault();
        return best.Word is not null && best.Distance <= Math.Max(2, word.Length / 3) ? best.Word : null;
    }

    private static SettingValue Layered(
        string key,
        IReadOnlyDictionary<string, string?> arguments,
        IReadOnlyDictionary<string, string?> variables,
        IConfiguration? file,
        IConfiguration? cake,
        List<string> problems)
    {
        var setting = Declarations.First(d => d.Key == key);
        if (setting.IsSecret)
        {
            return Secretly(setting, arguments, variables, file, cake, problems);
        }

        if (arguments.TryGetValue(setting.Argument, out var argument))
        {
            return new SettingValue(setting, argument ?? string.Empty, $"argument --{setting.Argument}");
        }

        if (variables.TryGetValue(setting.Variable, out var variable) && !string.IsNullOrEmpty(variable))
        {
            return new SettingValue(setting, variable, $"environment variable {setting.Variable}");
        }

        foreach (var (layer, source) in new[] { (file, "the environment's config file"), (cake, "cake.config") })
        {
            if (layer?[$"{setting.Section}:{setting.Name}"] is { Length: > 0 } text)
            {
                return new SettingValue(setting, text, source);
            }
        }

        return new SettingValue(setting, setting.Default, "default");
    }

    private static SettingValue Secretly(
        Setting setting,
        IReadOnlyDictionary<string, string?> arguments,
        IReadOnlyDictionary<string, string?> variables,
        IConfiguration? file,
        IConfiguration? cake,
        List<string> problems)
    {
        if (arguments.ContainsKey(setting.Argument))
        {
            problems.Add($"{setting.Key}: a secret is not taken as an argument, where every user of the machine reads it; set {setting.Variable}.");
        }

        foreach (var (layer, source) in new[] { (file, "the environment's config file"), (cake, "cake.config") })
        {
            if (layer?[$"{setting.Section}:{setting.Name}"] is not null)
            {
                problems.Add($"{setting.Key}: a secret is not taken from {source}; set {setting.Variable} or {setting.Variable}_FILE.");
            }
        }

        if (variables.TryGetValue(setting.Variable, out var variable) && !string.IsNullOrEmpty(variable))
        {
            return new SettingValue(setting, variable, $"environment variable {setting.Variable}");
        }

        if (variables.TryGetValue(setting.Variable + "_FILE", out var path) && !string.IsNullOrEmpty(path))
        {
            try
            {
                return new SettingValue(setting, File.ReadAllText(path).Trim(), $"the file that {setting.Variable}_FILE names");
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                problems.Add($"{setting.Key}: {setting.Variable}_FILE names '{path}', which cannot be read: {exception.Message}");
            }
        }

        return new SettingValue(setting, null, "default");
    }

    private static void CheckUnknown(
        IReadOnlyDictionary<string, string?> arguments,
        IReadOnlyDictionary<string, string?> variables,
        IConfiguration? file,
        IConfiguration? cake,
        List<string> problems)
    {
        var knownArguments = Declarations.Where(d => !d.IsSecret).Select(d => d.Argument).Concat(Switches).Append("target").ToList();
        foreach (var name in arguments.Keys.Where(n => !knownArguments.Contains(n) && !Declarations.Any(d => d.IsSecret && d.Argument == n)))
        {
            problems.Add($"--{name}: there is no such argument{Suggest(Nearest(name, knownArguments), "--")}.");
        }

        var knownVariables = Declarations.SelectMany(d => d.IsSecret ? new[] { d.Variable, d.Variable + "_FILE" } : [d.Variable]).Append("ROLLOUT_TOOLS").ToList();
        foreach (var name in variables.Keys.Where(n => n.StartsWith("ROLLOUT_", StringComparison.Ordinal) && !knownVariables.Contains(n)))
        {
            problems.Add($"environment variable {name}: there is no such setting{Suggest(Nearest(name, knownVariables), string.Empty)}.");
        }

        foreach (var (layer, source) in new[] { (file, "the environment's config file"), (cake, "cake.config") })
        {
            var keys = layer?.AsEnumerable().Where(p => p.Value is not null).Select(p => p.Key.Replace(':', '.')) ?? [];
            foreach (var key in keys.Where(k => !IsEngineKey(k) && !Declarations.Any(d => string.Equals(d.Key, k, StringComparison.OrdinalIgnoreCase))))
            {
                problems.Add($"{key} in {source}: there is no such setting{Suggest(Nearest(key, Declarations.Select(d => d.Key)), string.Empty)}.");
            }
        }
    }

    // cake.config is also the engine's own file; its sections are not ours to judge.
    private static bool IsEngineKey(string key) =>
        EngineSections.Any(section => key.StartsWith(section, StringComparison.OrdinalIgnoreCase));

    private static string Suggest(string? nearest, string prefix) => nearest is null ? string.Empty : $"; did you mean {prefix}{nearest}";

    private static IConfiguration? Load(string path, List<string> problems)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            return new ConfigurationBuilder().AddIniFile(Path.GetFullPath(path), optional: false, reloadOnChange: false).Build();
        }
        catch (Exception exception) when (exception is FormatException or InvalidDataException or IOException)
        {
            problems.Add($"{Path.GetFileName(path)} cannot be read: {(exception.InnerException ?? exception).Message}");
            return null;
        }
    }

    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[^1];
    }

    private static bool IsTag(string text) =>
        text.Length is > 0 and <= 63 && char.IsAsciiLetterOrDigit(text[0]) && char.IsAsciiLetterOrDigit(text[^1])
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');

    // A password in an address would be printed with it.
    private static bool IsUri(string text) => Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.UserInfo.Length == 0;

    private static Setting Text(string key, string meaning, string? @default, bool requiredOutside = false) =>
        new(key, meaning, @default, "a text without line breaks", v => v.Length > 0 && !v.Contains('\n', StringComparison.Ordinal), RequiredOutside: requiredOutside);

    private static Setting Choice(string key, string meaning, string? @default, params string[] choices) =>
        new(key, meaning, @default, "one of " + string.Join(", ", choices), v => choices.Contains(v, StringComparer.OrdinalIgnoreCase));

    private static Setting Time(string key, string meaning, string @default) =>
        new(key, meaning, @default, "a number of seconds above 0, at most 86400", v => double.TryParse(v, NumberStyles.Float, CultureInfo.InvariantCulture, out var s) && s is > 0 and <= 86400);

    private static Setting Number(string key, string meaning, string @default, int least, int most) =>
        new(key, meaning, @default, $"a whole number from {least} to {most}", v => int.TryParse(v, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n >= least && n <= most);

    private static Setting Password(string key, string meaning, bool required = false) =>
        new(key, meaning, null, "a text without line breaks", v => v.Length > 0 && !v.Contains('\n', StringComparison.Ordinal), IsSecret: true, RequiredOutside: required);
}
