using System.Text;
using System.Text.Json.Nodes;
using Rollout.Cluster;
using Rollout.Database;
using Rollout.Environments;
using Rollout.Platform;

namespace Rollout.Playbook;

/// <summary>
/// Whether the candidate's databases are the ones it must have: live's own for everything that both share, another one for what is each slot's (platform
/// contract, sections 3.3, 8.1 and 11). A chart with its defaults brings an empty database of its own, and everything starts on it.
/// </summary>
internal static class StoreChecks
{
    // What each slot's fences are kept in: shared, the fence of one would be the other's.
    private static readonly string[] SlotsOwn = ["SIM_MODE_DATABASE_URL", "SAFE_MODE_REDIS_URL"];

    // What 1.2, 2.4 and 4.2 read and write by Secrets.Database.
    private static readonly string[] Accounts = ["TIMESCALE_DSN", "AETHER_ACCOUNT_TIMESCALE_DSN"];
    private static readonly string[] Governance = ["AUDIT_DATABASE_URL", "OVERRIDE_DATABASE_URL", "ADMIN_POSTGRES_DSN", "ADMIN_DATABASE_DSN", "ADMIN_DB_DSN"];

    private static readonly string[] ProductionWords = ["prod", "production", "prd"];
    private static readonly string[] OtherWords = ["staging", "stage", "stg", "dev", "qa", "sandbox", "rehearsal"];

    public static async Task LookAsync(RolloutRun run, RenderedChart rendered, Findings found, CancellationToken cancellationToken)
    {
        var ofLive = await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Live.Namespace}/secrets", cancellationToken);
        var services = await run.Cluster.ListAsync($"/api/v1/namespaces/{run.Live.Namespace}/services", cancellationToken);
        var made = rendered.Objects.Where(o => o["kind"]?.GetValue<string>() == "Secret");
        var live = new StoreVariables(run.Live.Namespace, ofLive, services).Of(await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Live.Namespace}/deployments", cancellationToken));

        // 2.1 copies live's secrets; what the chart makes itself wins.
        var bundled = rendered.Objects.Where(o => o["kind"]?.GetValue<string>() == "Service").ToList();
        var candidate = new StoreVariables(run.Candidate.Namespace, ofLive.Concat(made), bundled).Of(rendered.Deployments);
        Judge(
            candidate,
            live,
            new StoreExpectation(
                run.Named(run.Candidate),
                run.Named(run.Live),
                bundled.Select(b => $"{b["metadata"]?["name"]}.{run.Candidate.Namespace}.svc").ToHashSet(),
                StoreAddress.Read(run.Surroundings.Database.Reveal()),
                SafeModeSeed.DatabaseOf(run.Candidate.Redis.Reveal()),
                run.Settings.Environment),
            found);
    }

    /// <summary>Judges the candidate's addresses; a problem that many workloads have is told once.</summary>
    internal static void Judge(IReadOnlyList<StoreVariable> candidate, IReadOnlyList<StoreVariable> live, StoreExpectation expected, Findings found)
    {
        var others = live.ToLookup(v => (v.Workload, v.Name));
        var sayings = candidate.SelectMany(v => Say(v, others[(v.Workload, v.Name)].FirstOrDefault(), expected).Select(s => (v.Workload, s.IsProblem, s.Text))).ToList();
        foreach (var saying in sayings.GroupBy(s => (s.IsProblem, s.Text), s => s.Workload))
        {
            var workloads = saying.Distinct().Order(StringComparer.Ordinal).ToList();
            (saying.Key.IsProblem ? found.Problems : found.Warnings).Add($"{workloads[0]}{(workloads.Count > 1 ? $" and {workloads.Count - 1} more" : string.Empty)}: {saying.Key.Text}");
        }
    }

    private static IEnumerable<(bool IsProblem, string Text)> Say(StoreVariable variable, StoreVariable? live, StoreExpectation expected)
    {
        if (variable.Address is not { } address)
        {
            yield return (true, $"{variable.Name} is no address of a PostgreSQL server or a Redis");
            yield break;
        }

        var leads = $"{variable.Name} leads to {address}";
        var isRehearsal = expected.Environment is RolloutEnvironment.Embedded or RolloutEnvironment.Kind;
        if (address.IsExample)
        {
            yield return (true, $"{leads}, a host that exists in examples only");
            yield break;
        }

        if (address.IsLoopback && !isRehearsal)
        {
            yield return (true, $"{leads}, which is the pod itself");
            yield break;
        }

        if (address.Kind == "postgresql" && expected.Bundled.Contains(address.Host))
        {
            yield return (true, $"{leads}, which the chart installs, empty, in {expected.Candidate}'s own namespace; switch that dependency off and give {expected.Live}'s database");
            yield break;
        }

        var words = address.Words.ToHashSet();
        if (expected.Environment == RolloutEnvironment.Staging && ProductionWords.FirstOrDefault(words.Contains) is { } production)
        {
            yield return (true, $"{leads}, which is called '{production}'; this is staging");
        }
        else if (expected.Environment == RolloutEnvironment.Production && OtherWords.FirstOrDefault(words.Contains) is { } other)
        {
            yield return (false, $"{leads}, which is called '{other}'; this is production");
        }

        foreach (var saying in SlotsOwn.Contains(variable.Name) ? SayOwn(variable.Name, address, live?.Address, expected) : SayShared(variable.Name, address, live?.Address, expected))
        {
            yield return saying;
        }
    }

    private static IEnumerable<(bool IsProblem, string Text)> SayOwn(string name, StoreAddress address, StoreAddress? live, StoreExpectation expected)
    {
        if (address == live)
        {
            yield return (true, $"{name} leads to {address} in both slots; each needs one of its own, or the fence of one is the other's");
        }
        else if (address.Kind == "redis" && expected.SafeModeDatabase is { } seeded && address.Database != $"{seeded}")
        {
            yield return (true, $"{name} leads to {address}, but 2.2 would seed safe mode in database {seeded} (ROLLOUT_SECRETS_REDIS_…): it would start unfrozen");
        }
    }

    private static IEnumerable<(bool IsProblem, string Text)> SayShared(string name, StoreAddress address, StoreAddress? live, StoreExpectation expected)
    {
        if (address.Kind != "postgresql")
        {
            yield break;
        }

        if (live is not null && address != live)
        {
            yield return (true, $"{name} leads to {address}, that of {expected.Live} to {live}: {expected.Candidate} would be without its data");
        }

        var isAccounts = Accounts.Contains(name) || (name.StartsWith("AETHER_", StringComparison.Ordinal) && name.EndsWith("_TIMESCALE_DSN", StringComparison.Ordinal));
        if ((isAccounts || Governance.Contains(name)) && expected.Database is { } ours)
        {
            if (address.Database != ours.Database)
            {
                yield return (isAccounts, $"{name} leads to {address}, but ROLLOUT_SECRETS_DATABASE to {ours}: 2.4 would migrate, and 4.2 would look at, another database");
            }
            else if (address.Host != ours.Host || address.Port != ours.Port)
            {
                yield return (false, $"{name} leads to {address}, ROLLOUT_SECRETS_DATABASE to {ours}: two names of one server, or two servers");
            }
        }
    }
}

/// <summary>What the candidate's addresses are held against.</summary>
/// <param name="Candidate">As messages show it.</param>
/// <param name="Bundled">Hosts that the chart itself installs beside the candidate.</param>
/// <param name="Database">Where <c>Secrets.Database</c> leads.</param>
/// <param name="SafeModeDatabase">The logical database in which 2.2 seeds the candidate's safe mode.</param>
internal sealed record StoreExpectation(
    string Candidate, string Live, IReadOnlySet<string> Bundled, StoreAddress? Database, int? SafeModeDatabase, RolloutEnvironment Environment);

/// <summary>A variable of a workload that holds the address of a store.</summary>
/// <param name="Address">Where it leads, as seen from the workload's namespace; null where it leads nowhere that is known.</param>
internal sealed record StoreVariable(string Workload, string Name, StoreAddress? Address);

/// <summary>Finds these variables in workloads, whether their values are plain or in a Secret.</summary>
internal sealed class StoreVariables
{
    private static readonly string[] Endings = ["_DSN", "DATABASE_URL", "REDIS_URL"];
    private readonly string _namespace;
    private readonly Dictionary<string, IReadOnlyDictionary<string, byte[]?>> _secrets = [];
    private readonly Dictionary<string, string> _aliases;

    /// <param name="secrets">The last of one name wins.</param>
    /// <param name="services">Of the namespace; those that are only another name for a host are looked through.</param>
    public StoreVariables(string @namespace, IEnumerable<JsonObject> secrets, IEnumerable<JsonObject> services)
    {
        _namespace = @namespace;
        foreach (var secret in secrets)
        {
            _secrets[$"{secret["metadata"]?["name"]}"] = SecretShape.ContentOf(secret);
        }

        _aliases = services.Where(s => s["spec"]?["type"]?.GetValue<string>() == "ExternalName" && s["spec"]?["externalName"] is not null)
            .ToDictionary(s => $"{s["metadata"]?["name"]}.{@namespace}.svc", s => s["spec"]!["externalName"]!.GetValue<string>().ToLowerInvariant());
    }

    public IReadOnlyList<StoreVariable> Of(IEnumerable<JsonObject> workloads) => [.. workloads.SelectMany(Of)];

    private IEnumerable<StoreVariable> Of(JsonObject workload)
    {
        var pod = workload["spec"]?["template"]?["spec"];
        foreach (var container in Items(pod?["initContainers"]).Concat(Items(pod?["containers"])))
        {
            var values = Items(container["envFrom"]).Select(f => f["secretRef"]?["name"]?.ToString()).OfType<string>()
                .SelectMany(name => _secrets.GetValueOrDefault(name)?.Select(p => (p.Key, Value: Text(p.Value))) ?? [])
                .Concat(Items(container["env"]).Select(e => ($"{e["name"]}", Value: ValueOf(e))));
            foreach (var (name, value) in values)
            {
                if (value is not { Length: > 0 } || !Endings.Any(e => name.EndsWith(e, StringComparison.Ordinal)) || value.StartsWith("http", StringComparison.OrdinalIgnoreCase))
                {
                    continue;
                }

                // What the kubelet puts together is not known here.
                var address = StoreAddress.Read(value)?.SeenFrom(_namespace);
                if (value.Contains("$(", StringComparison.Ordinal) && (address is null || address.Host.Contains('$', StringComparison.Ordinal)))
                {
                    continue;
                }

                yield return new StoreVariable(
                    $"{workload["metadata"]?["name"]}", name, address is not null && _aliases.TryGetValue(address.Host, out var real) ? address with { Host = real } : address);
            }
        }
    }

    private string? ValueOf(JsonObject variable) => variable["valueFrom"]?["secretKeyRef"] is { } reference
        ? Text(_secrets.GetValueOrDefault($"{reference["name"]}")?.GetValueOrDefault($"{reference["key"]}"))
        : variable["value"]?.ToString();

    private static string? Text(byte[]? bytes) => bytes is null ? null : Encoding.UTF8.GetString(bytes).Trim();

    private static IEnumerable<JsonObject> Items(JsonNode? node) => node is JsonArray list ? list.OfType<JsonObject>() : [];
}
