using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>
/// <c>world.json</c>: where everything of a running world is, with the tokens. It exists exactly while the world is ready, so whoever finds
/// it may use what it says.
/// </summary>
public static class WorldFile
{
    public static string PathIn(string directory)
    {
        return Path.Combine(directory, "world.json");
    }

    /// <summary>The process that says it keeps the world in this directory up; null without one.</summary>
    public static int? Keeper(string directory)
    {
        return (int?)StateFile.Read(PathIn(directory))?["pid"] is { } pid && ProcessTable.IsAlive(pid) ? pid : null;
    }

    /// <summary>Takes back what this process wrote; another's file stays.</summary>
    public static void Remove(string directory)
    {
        if (StateFile.Read(PathIn(directory)) is JsonObject world && (int?)world["pid"] == Environment.ProcessId)
        {
            File.Delete(PathIn(directory));
        }
    }

    /// <param name="databaseDsn">A database's name to its DSN.</param>
    public static JsonObject Describe(
        string directory,
        WorldIdentity identity,
        string kubeconfig,
        string certificateAuthority,
        IReadOnlyList<Edge> edges,
        LinodeApi linode,
        IReadOnlyList<NameServer> nameServers,
        GitHubApi github,
        ImageRegistry registry,
        TraceStore traces,
        Uri exchange,
        Func<string, string> databaseDsn,
        IPEndPoint redis,
        ControlApi control,
        (string Slot, string Release) live)
    {
        JsonObject Slot(string slot, int database) => new()
        {
            ["namespace"] = "aether-" + slot,
            ["ingressClass"] = "nginx-" + slot,
            ["ingressService"] = $"ingress-{slot}/ingress-nginx-controller",
            ["address"] = identity.Address(slot).ToString(),
            ["session"] = identity.Token("session-" + slot),
            ["redis"] = string.Create(
                CultureInfo.InvariantCulture, $"{redis},password={identity.Token("redis")},defaultDatabase={database}"),
        };
        return new JsonObject
        {
            ["version"] = 1,
            ["pid"] = Environment.ProcessId,
            ["kubeconfig"] = kubeconfig,
            ["context"] = "rehearsal",
            ["certificateAuthority"] = certificateAuthority,
            ["httpsPort"] = edges[0].HttpsPort,
            ["slots"] = new JsonObject { ["blue"] = Slot("blue", 0), ["green"] = Slot("green", 1) },
            ["dns"] = new JsonObject
            {
                ["api"] = Text(linode.Address),
                ["token"] = identity.Token("linode"),
                ["zone"] = Workload.Zone,
                ["nameServers"] = new JsonArray([.. nameServers.Select(server => (JsonNode)server.EndPoint.ToString())]),
            },
            ["github"] = new JsonObject
            {
                ["api"] = github.Address.AbsoluteUri,
                ["repository"] = RehearsalWorld.Repository,
                ["token"] = identity.Token("github"),
            },
            ["registry"] = new JsonObject { ["address"] = registry.Address, ["token"] = identity.Token("registry") },
            ["traces"] = new JsonObject { ["api"] = Text(traces.Address), ["otlp"] = Text(traces.Ingest) },
            ["exchange"] = new JsonObject { ["api"] = Text(exchange), ["log"] = Path.Combine(directory, "exchange.jsonl") },
            ["database"] = new JsonObject
            {
                ["dsn"] = databaseDsn("aether"),
                ["simulation"] = new JsonObject { ["blue"] = databaseDsn("sim_blue"), ["green"] = databaseDsn("sim_green") },
            },
            ["bucket"] = Path.Combine(directory, "bucket"),
            ["platform"] = Path.Combine(directory, "platform"),
            ["releases"] = new JsonArray(
                [.. PlatformReleases.Tags.SkipWhile(tag => tag != identity.CreatedWith).Skip(1).Select(tag => (JsonNode)tag)]),
            ["live"] = new JsonObject { ["slot"] = live.Slot, ["release"] = live.Release },
            ["control"] = new JsonObject { ["api"] = Text(control.Address), ["token"] = identity.Token("control") },
        };
    }

    private static string Text(Uri address)
    {
        return address.AbsoluteUri.TrimEnd('/');
    }
}
