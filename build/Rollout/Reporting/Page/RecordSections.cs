using System.Text.Json.Nodes;
using Rollout.Journal;
using Rollout.Playbook;

namespace Rollout.Reporting.Page;

/// <summary>What an auditor holds on to: the DNS records before and after, the evidence with its digests, what was left out, and the journal itself.</summary>
internal static class RecordSections
{
    private const int MostEntries = 1000;
    private const int MostFiles = 1500;
    private const int MostHosts = 500;
    private const int MostMoves = 4;

    // Of no use to a reader, or shown elsewhere.
    private static readonly string[] Elsewhere = ["ms", "waitingMs", "pollingMs", "evidence", "series", "changes", "trace", "inputs", "images"];

    public static Html Dns(ReportSource source, ReportStory story)
    {
        if (story.Moves.Count == 0)
        {
            return Html.Of($"""<p class="missing">No record was changed{(story.Steps.Any(s => s.Name == nameof(FlipDns)) ? string.Empty : $": {ReportStory.Named(nameof(FlipDns))} was not reached")}. {(story.Hosts.Count > 0 ? $"The {Words.Plural(story.Hosts.Count, "host")} point where they did." : string.Empty)}</p>""");
        }

        var slots = new Dictionary<string, string>();
        foreach (var move in story.Moves)
        {
            slots[move.After] = move.Step == nameof(FlipDns) ? story.Candidate : story.Live;
            foreach (var before in move.Before.Values)
            {
                slots.TryAdd(before, move.Step == nameof(FlipDns) ? story.Live : story.Candidate);
            }

            if (move.After6 is { } six)
            {
                slots[six] = move.Step == nameof(FlipDns) ? story.Candidate : story.Live;
            }
        }

        Html Address(string? address) => address is null ? Html.Of($"""<span class="note">not there</span>""") : Html.Of($"<code>{address}</code>{(slots.TryGetValue(address, out var slot) ? $" {slot}" : string.Empty)}");
        var moves = story.Moves.TakeLast(MostMoves).ToList();
        var hosts = moves.SelectMany(m => m.Before.Keys).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToList();
        return Html.Of($"""
            <ul>{story.Moves.Select(m => Html.Of($"<li>{MoveInWords(m)}</li>"))}</ul>
            {(hosts.Count == 0
                ? Html.Of($"""<p class="missing">The addresses before are not in the journal.</p>""")
                : PageTable.Of(
                    $"{Words.Plural(hosts.Count, "record")}{(hosts.Count > MostHosts ? $", the first {MostHosts}" : string.Empty)}; what is left of an arrow was there before{(story.Moves.Count > MostMoves ? $"; of {story.Moves.Count} moves the last {MostMoves}" : string.Empty)}",
                    ["Host", .. moves.Select(m => $"{ReportStory.NameOf(m.Step).Number} at {m.At.UtcDateTime:HH:mm:ss}")],
                    hosts.Take(MostHosts).Select(h => (IReadOnlyList<Html>)
                    [
                        PageTable.Text(h),
                        .. moves.Select(m => Html.Of($"{Address(m.Before.GetValueOrDefault(h))} → {Address(h.EndsWith(" (AAAA)", StringComparison.Ordinal) ? m.After6 : m.After)}{(m.End?.Event == JournalEvent.Failed ? ", taken back" : string.Empty)}")),
                    ])))}
            """);
    }

    public static Html Evidence(ReportSource source)
    {
        var inputs = source.Entries.LastOrDefault(e => e is { Step: nameof(TagRelease), Event: JournalEvent.Done, Part: null })?.Data;
        var fixedInputs = inputs?["inputs"] is JsonObject all
            ? PageTable.Of("What 1.1 fixed for all runs", ["Input", "Value"], all.Select(i => (IReadOnlyList<Html>)[PageTable.Text(i.Key), Html.Of($"""<code class="hash">{Words.Cut(all.Text(i.Key) ?? "none", 300)}</code>""")]))
            : Html.Of($"""<p class="missing">The release's inputs are not in the journal: 1.1 was not done.</p>""");
        var images = inputs.Map("images") is { Count: > 0 } pins
            ? PageTable.Of("Images, pinned by digest", ["Image", "Digest"], pins.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => (IReadOnlyList<Html>)[PageTable.Text(p.Key), Html.Of($"""<code class="hash">{p.Value}</code>""")]))
            : Html.Empty;
        var state = source.Files.GroupBy(f => f.State).OrderByDescending(g => g.Count()).Select(g => $"{g.Count():#,0} {g.Key}");
        var changed = source.Files.Any(f => f.State == ReportedFile.Changed);
        return Html.Of($"""
            {(source.Files.Count == 0 ? Html.Of($"""<p class="missing">No evidence was kept.</p>""") : Html.Of($"""<p class="{(changed ? "bad" : string.Empty)}">{Words.Plural(source.Files.Count, "file")}, {Words.Number(source.Files.Sum(f => f.Bytes ?? 0) / 1000.0, "kB")}: {string.Join(", ", state)}. Each was hashed again when this page was written.</p>"""))}
            {(source.HasIncident ? Html.Of($"""<p>The incident's own pages say where to look first: <a href="incident/index.html">incident/index.html</a>.</p>""") : Html.Empty)}
            {source.Files.Take(MostFiles).GroupBy(f => f.Path.Split('/')[0]).OrderBy(g => Order(g.Key)).Select(g => Html.Of($"""
                <details><summary>{ReportStory.Named(g.Key)}: {Words.Plural(g.Count(), "file")}</summary>
                {PageTable.Of("Files with their SHA-256", ["File", "Bytes", "State", "SHA-256"], g.Select(f => (IReadOnlyList<Html>)[f.Bytes is null ? PageTable.Text(f.Path) : Html.Of($"""<a href="{Link(f.Path)}">{f.Path}</a>"""), PageTable.Text(f.Bytes is { } bytes ? $"{bytes:#,0}" : "none"), Words.Badge(f.State), Html.Of($"""<code class="hash">{f.Sha256}</code>""")]))}</details>

                """))}
            {(source.Files.Count > MostFiles ? Html.Of($"""<p class="note">{source.Files.Count - MostFiles:#,0} more are in <code>evidence/SHA256SUMS</code>.</p>""") : Html.Empty)}
            <details><summary>Inputs and images</summary>{fixedInputs}{images}</details>
            """);
    }

    public static Html Skipped(ReportSource source, ReportStory story)
    {
        var rows = new List<(string What, string Why)>();
        foreach (var entry in source.Entries.Where(e => e.Event == JournalEvent.Skipped))
        {
            rows.Add((Subject(entry), entry.Data.Text("reason") ?? entry.Data.Text("message") ?? "no reason was given"));
        }

        foreach (var entry in source.Entries.Where(e => e.Event == JournalEvent.Done && (e.Data.Text("outcome") ?? string.Empty).StartsWith("not ", StringComparison.Ordinal)))
        {
            rows.Add((Subject(entry), entry.Data.Text("outcome")!));
        }

        foreach (var entry in source.Entries.Where(e => e.Event == JournalEvent.Done))
        {
            rows.AddRange(LeftOut(entry));
        }

        var begun = story.Steps.Select(s => s.Name).ToHashSet();
        var unreached = PlaybookOrder.Forward.Where(s => !begun.Contains(s)).ToList();
        if (unreached.Count > 0)
        {
            rows.Add((string.Join(", ", unreached.Select(ReportStory.Named)), story.Failure is { } failure ? $"not reached: {ReportStory.Named(failure.Step)} failed" : "not reached yet"));
        }

        var unneeded = story.Steps.Where(s => s.Last is { State: "done", Begin.Data: { } data } && data["changes"] is JsonArray { Count: 0 }).Select(s => $"{s.Number} {s.Title}").ToList();
        if (unneeded.Count > 0)
        {
            rows.Add((string.Join(", ", unneeded), "nothing was to be changed: the world was as it must be, and that was confirmed"));
        }

        rows.AddRange(source.Missing.Select(m => ("On this page", m)));
        return rows.Count == 0
            ? Html.Of($"<p>Nothing was skipped.</p>")
            : PageTable.Of("What is not done or not known, and why", ["What", "Why"], rows.Select(r => (IReadOnlyList<Html>)[PageTable.Text(r.What), PageTable.Text(Words.Cut(r.Why, 1000))]));
    }

    public static Html Journal(ReportSource source)
    {
        var rest = source.Entries.Count - MostEntries;
        return source.Entries.Count == 0
            ? Html.Of($"""<p class="missing">The journal has no entry.</p>""")
            : Html.Of($"""
                <p class="note">{Words.Plural(source.Entries.Count, "entry", "entries")} by {string.Join(", ", source.Entries.Select(e => e.Actor).Distinct().Take(20))} in {Words.Plural(source.Entries.Select(e => e.Run).Distinct().Count(), "run")}; the last line's SHA-256 is <code class="hash">{JournalEntry.HashOf(source.Entries[^1].ToLine())}</code>. Whole, it is in <a href="journal.jsonl">journal.jsonl</a>.</p>
                <details><summary>Every entry</summary>
                {PageTable.Of("Oldest first", ["Entry", "Time (UTC)", "Step", "Event", "What"], source.Entries.Take(MostEntries).Select(e => (IReadOnlyList<Html>)
                [
                    PageTable.Text($"{e.Sequence}"),
                    PageTable.Text($"{e.Time.UtcDateTime:yyyy-MM-dd HH:mm:ss.fff}"),
                    PageTable.Text(e.Part is null ? e.Step : $"{e.Step}, {e.Part}"),
                    PageTable.Text(e.Event.ToString().ToLowerInvariant()),
                    PageTable.Text(Words.Cut(Data(e.Data), 300)),
                ]))}{(rest > 0 ? Html.Of($"""<p class="note">{rest:#,0} more are in the journal.</p>""") : Html.Empty)}</details>
                """);
    }

    /// <summary>The address of a file of evidence, from the page.</summary>
    public static string Link(string path) => string.Join('/', $"evidence/{path}".Split('/').Select(Uri.EscapeDataString));

    private static string MoveInWords(DnsMove move)
    {
        var what = $"{ReportStory.Named(move.Step)}, {Words.Moment(move.At)} UTC, to {move.After}{(move.After6 is { } six ? $" and {six}" : string.Empty)}";
        return move.End switch
        {
            { Event: JournalEvent.Done } done => $"{what}: {(done.Data.Number("records") is { } written ? Words.Number(written) : "an unknown number of")} records written"
                + (done.Data.Number("recordsMs") is { } ms ? $" in {Words.Span(TimeSpan.FromMilliseconds(Math.Min(ms, 1e12)))}" : string.Empty)
                + (done.Data.Number("ttl") is { } ttl ? $"; old answers may live {Words.Number(ttl, "s")} longer" : string.Empty)
                + $"; every name server agreed by {Words.Clock(done.Time)} UTC.",
            { Event: JournalEvent.Failed } failed => $"{what}: failed. {Words.Cut(failed.Data.Text("message") ?? "It said nothing more.", 600)}",
            { Event: JournalEvent.Interrupted } => $"{what}: interrupted; where the records are, Status tells.",
            _ => $"{what}: its end is not in the journal; where the records are, Status tells.",
        };
    }

    private static IEnumerable<(string What, string Why)> LeftOut(JournalEntry entry)
    {
        var step = Subject(entry);
        if (entry.Step == nameof(BootstrapObservability) && entry.Data.Text("tracing") is { } tracing && tracing != "on")
        {
            yield return ($"Traces, {step}", $"tracing is {tracing}");
        }

        if (entry.Step == nameof(ExportHealthSnapshot) && entry.Data?["auditRow"] is JsonValue row && row.TryGetValue<bool>(out var written) && !written)
        {
            yield return ($"The snapshot's row in the audit trail, {step}", "it was not written");
        }

        if (entry is { Step: nameof(MonitorTraffic), Part: null } && entry.Data is { } watch && watch.ContainsKey("remainingPerSecond") && watch["remainingPerSecond"] is null)
        {
            yield return ($"Clients that stayed on live, {step}", "they could not be counted");
        }

        if (entry.Step == nameof(InvestigateFailure) && entry.Data.Number("missing") is > 0 and var missing)
        {
            yield return ($"{Words.Number(missing)} parts of the incident, {step}", "their sources could not be had; the incident's index names each");
        }
    }

    private static string Subject(JournalEntry entry) => entry.Part is null ? ReportStory.Named(entry.Step) : $"{ReportStory.Named(entry.Step)}, {entry.Part}";

    private static int Order(string step) => PlaybookOrder.All.TakeWhile(s => s != step).Count();

    private static string Data(JsonObject? data) => data is null ? string.Empty : string.Join("; ", data.Where(d => !Elsewhere.Contains(d.Key)).Select(d => d.Value switch
    {
        JsonObject { Count: > 4 } members => $"{d.Key}: {members.Count} members",
        JsonArray { Count: > 4 } items => $"{d.Key}: {items.Count} items",
        _ => $"{d.Key}: {data.Text(d.Key) ?? "none"}",
    }));
}
