using System.Globalization;
using Rollout.Playbook;
using Rollout.Traffic;

namespace Rollout.Tools;

/// <summary>What a rehearsal's client saw.</summary>
/// <param name="Rows">For the closing table.</param>
/// <param name="Problems">What clients of a rollout must not see, one sentence each; none where all was well.</param>
public sealed record ClientView(IReadOnlyList<IReadOnlyList<string>> Rows, IReadOnlyList<string> Problems);

/// <summary>
/// The client that a rehearsal has from its beginning to its end, the automatic rollback of a drill included. It knows of the rollout what any
/// client knows; only what it saw is held against the journal afterwards.
/// </summary>
public sealed class RehearsalClient : IAsyncDisposable
{
    // What is wrong with the candidate under these, clients see, until the drill has rolled back.
    private static readonly string[] Harmful =
        ["edge-wrong-certificate", "edge-not-found", "errors", "latency", "latency-grows", "session-store-missing", "never-ready", "service-down", "slow-start"];

    private readonly ClientTraffic _traffic;
    private readonly TimeSpan _ttl;
    private readonly int _rate;
    private bool _ended;

    private RehearsalClient(ClientTraffic traffic, int rate, TimeSpan ttl)
    {
        _traffic = traffic;
        _rate = rate;
        _ttl = ttl;
    }

    /// <summary>Whether a drill with this fault may let clients see failures.</summary>
    public static bool MayHarm(string fault) => Harmful.Contains(fault.Split('=')[0], StringComparer.Ordinal);

    /// <summary>Starts the client of a run; null where the settings want none.</summary>
    /// <exception cref="RolloutException">A host does not answer.</exception>
    public static async Task<RehearsalClient?> StartAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var rate = run.Settings.WholeNumber("Rehearsal.ClientRate");
        if (rate == 0)
        {
            return null;
        }

        var slots = new List<ClientSlot>();
        foreach (var slot in new[] { run.Surroundings.Blue, run.Surroundings.Green })
        {
            slots.Add(new ClientSlot(slot.Name, await run.AddressAsync(slot, cancellationToken), slot.Session));
        }

        var records = await run.Zone.ReadAsync(run.Hosts, cancellationToken);
        var traffic = await ClientTraffic.StartAsync(
            new ClientPlan
            {
                Hosts = run.Hosts,
                OrdersHost = run.Hosts.FirstOrDefault(h => h.StartsWith("oms.", StringComparison.Ordinal)),
                Slots = slots,
                NameServers = run.Surroundings.NameServers,
                HttpsPort = run.Surroundings.HttpsPort,
                CertificateAuthority = run.Surroundings.CertificateAuthority,
                Rate = rate,
            },
            run.Time,
            cancellationToken);
        return new RehearsalClient(traffic, rate, TimeSpan.FromSeconds(records.Max(r => r.TtlSeconds)));
    }

    /// <summary>Stops the client, writes <c>client.csv</c> into the release's folder, and tells what it saw.</summary>
    public async Task<ClientView> EndAsync(RolloutRun run)
    {
        var report = await _traffic.StopAsync();
        await DisposeAsync();
        Directory.CreateDirectory(run.Folder);
        var slots = new[] { run.Surroundings.Blue.Name, run.Surroundings.Green.Name };
        await File.WriteAllTextAsync(Path.Combine(run.Folder, "client.csv"), report.ToCsv(slots));
        return new ClientView(Rows(report, slots), Problems(report, FreezeWindow.Of([.. run.Journal.Entries], _ttl)));
    }

    public async ValueTask DisposeAsync()
    {
        if (!_ended)
        {
            _ended = true;
            await _traffic.DisposeAsync();
        }
    }

    /// <summary>What clients of a rollout must not see: a failed read, an order refused in a way that nobody documents, a fence outside the freeze.</summary>
    internal static IReadOnlyList<string> Problems(ClientReport report, IReadOnlyList<FreezeWindow> windows)
    {
        var problems = new List<string>();
        var totals = report.Totals;
        if (totals.ReadsFailed > 0)
        {
            problems.Add($"{totals.ReadsFailed} of {totals.Reads} reads failed ({Kinds(report, ClientOutcome.ReadFailed)})");
        }

        if (totals.Refused > 0)
        {
            problems.Add($"{totals.Refused} orders were neither accepted nor fenced ({Kinds(report, ClientOutcome.Refused)})");
        }

        var late = report.Answers.Where(a => a.Outcome == ClientOutcome.Fenced && !windows.Any(w => w.Covers(a.Sent, a.Answered, a.Slot)))
            .OrderBy(a => a.Sent).ToList();
        if (late.Count > 0)
        {
            problems.Add(
                $"{late.Count} orders met a fence outside the freeze (first at {late[0].Sent:HH:mm:ss.fff} UTC on {late[0].Slot}, last at {late[^1].Sent:HH:mm:ss.fff})");
        }

        return problems;
    }

    private static string Kinds(ClientReport report, ClientOutcome outcome)
    {
        var kinds = report.Answers.Where(a => a.Outcome == outcome).GroupBy(a => $"{a.Host} on {a.Slot ?? "no slot"}: {a.Detail}")
            .OrderByDescending(g => g.Count()).Select(g => $"{g.Count()}× {g.Key}, first at {g.Min(a => a.Sent):HH:mm:ss.fff} UTC").ToList();
        return string.Join("; ", kinds.Take(4)) + (kinds.Count > 4 ? $"; and {kinds.Count - 4} more kinds" : string.Empty);
    }

    private List<IReadOnlyList<string>> Rows(ClientReport report, string[] slots)
    {
        var totals = report.Totals;
        var latency = totals.Latency;
        List<IReadOnlyList<string>> rows =
        [
            ["client's requests", $"{totals.Requests}, {_rate} a second"],
            ["client's reads failed", $"{totals.ReadsFailed} of {totals.Reads}"],
            ["client's orders", $"{totals.Accepted} accepted, {totals.Fenced} fenced, {totals.Refused} refused"],
            ["client's latency", $"p50 {Ms(latency.Median)} ms, p99 {Ms(latency.P99)} ms, longest {Ms(latency.Longest)} ms"],
            ["client answered by", string.Join(", ", slots.Select(s => $"{s} {totals.BySlot.GetValueOrDefault(s)}"))],
        ];
        if (report.LongestWithoutOrder() is { } longest)
        {
            rows.Add(["client without an order", $"{longest.TotalMilliseconds:0} ms at the longest"]);
        }

        if (report.Stale > 0)
        {
            rows.Add(["client's stale answers", $"{report.Stale}: no name server answered when the TTL had run out"]);
        }

        return rows;
    }

    private static string Ms(TimeSpan span) => span.TotalMilliseconds.ToString("0", CultureInfo.InvariantCulture);
}
