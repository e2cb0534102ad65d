using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Rollout.Archive;
using Rollout.Monitoring;

namespace Rollout.Investigation;

/// <summary>Something to look at.</summary>
/// <param name="Lines">What was seen, as it was said; untrusted.</param>
/// <param name="File">Where to read on, relative to the bundle; null where nowhere.</param>
public sealed record Finding(string Title, IReadOnlyList<string> Lines, string? File)
{
    private const int Shown = 8;
    private const int LastLines = 6;
    private const int LongestLine = 400;

    /// <summary>Ranks what was collected: the error first, then what is broken, then what was slow, then what is different.</summary>
    internal static IReadOnlyList<Finding> Rank(
        Incident incident,
        IReadOnlyList<(IncidentSlot Slot, IReadOnlyList<JsonObject> Pods)> slots,
        IReadOnlyDictionary<string, string> logs,
        string candidateMetrics,
        IReadOnlyList<JsonObject> events,
        IReadOnlyList<TraceSummary> traces,
        IReadOnlyList<StackDifference> differences)
    {
        var findings = new List<Finding>
        {
            incident.Step is { } step
                ? new Finding($"{step} failed{(incident.FailedAt is { } at ? $" at {at:yyyy-MM-dd HH:mm:ss} UTC" : "")}", [Cut(incident.Error ?? "without a message")], null)
                : new Finding("No step failed: the rollback was asked for", [], null),
        };
        foreach (var (slot, pods) in slots)
        {
            foreach (var pod in pods.Where(p => !IsWell(p)).OrderByDescending(Restarts).Take(Shown))
            {
                var name = pod["metadata"]!["name"]!.GetValue<string>();
                var log = logs.Keys.Where(k => k.StartsWith(name + "/", StringComparison.Ordinal)).OrderByDescending(k => k.EndsWith("/previous", StringComparison.Ordinal)).FirstOrDefault();
                findings.Add(new Finding(
                    $"Pod {name} of {slot.Role}: {Ailment(pod)}",
                    log is null ? [] : [.. logs[log].Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeLast(LastLines).Select(Cut)],
                    log is null ? null : $"logs/{log.Replace("/previous", ".previous", StringComparison.Ordinal).Replace('/', '.')}.log"));
            }
        }

        var failing = FailingServices(candidateMetrics);
        if (failing.Count > 0)
        {
            findings.Add(new Finding($"{failing.Count} services of {incident.Candidate.Role} answered 5xx", [.. failing.Take(Shown).Select(f => $"{f.Service}: {f.Errors:0} of {f.Requests:0} requests, {100 * f.Errors / f.Requests:0.##} %")], $"{incident.Candidate.Name}-metrics.txt"));
        }

        if (traces.Count > 0)
        {
            findings.Add(new Finding(
                $"{traces.Count(t => t.Why == "failing")} failing and {traces.Count(t => t.Why == "slow")} slow traces",
                [.. traces.OrderBy(t => t.Why, StringComparer.Ordinal).ThenByDescending(t => t.Duration).Take(Shown).Select(t => $"{t.Why}: {t.Service} {t.Name}, {t.Duration.TotalMilliseconds:0} ms at {t.Start:HH:mm:ss}, trace {t.TraceId}")],
                "traces.json"));
        }

        var warnings = events.Where(e => e["type"]?.ToString() == "Warning")
            .GroupBy(e => (Object: $"{e["involvedObject"]?["kind"]}/{e["involvedObject"]?["name"]}", Reason: e["reason"]?.ToString()))
            .Select(g => (g.Key, Count: g.Sum(e => e["count"] is JsonValue count && count.TryGetValue<int>(out var number) ? number : 1), Last: g.Last()["message"]?.ToString() ?? string.Empty))
            .OrderByDescending(w => w.Count).ToList();
        if (warnings.Count > 0)
        {
            findings.Add(new Finding($"{warnings.Count} warnings among the events of {incident.Candidate.Role}", [.. warnings.Take(Shown).Select(w => Cut($"{w.Count} × {w.Key.Reason} of {w.Key.Object}: {w.Last}"))], $"{incident.Candidate.Name}-events.json"));
        }

        if (differences.Count > 0)
        {
            findings.Add(new Finding(
                $"{differences.Count} differences between {incident.Live.Role} and {incident.Candidate.Role}",
                [
                    // What is the same for many workloads was meant, and every image is another one; what a workload has alone is the likelier culprit.
                    .. differences.GroupBy(d => (d.What, d.Live, d.Candidate))
                        .OrderBy(g => g.Key.What == "image").ThenBy(g => g.Count()).ThenBy(g => g.Key.What switch { "workload" => 0, "variable" => 1, "replicas" => 2, "configuration" => 3, _ => 4 }).Take(2 * Shown)
                        .Select(g => Cut((g.First() with { Workload = g.Count() == 1 ? g.First().Workload : $"{g.Count()} workloads" }).ToString())),
                ],
                "differences.json"));
        }

        return findings;
    }

    /// <summary>Whether a pod is ready, or has ended as it should, and did not restart.</summary>
    internal static bool IsWell(JsonObject pod) =>
        pod["status"]?["phase"]?.ToString() == "Succeeded"
        || ((pod["status"]?["conditions"] as JsonArray ?? []).Any(c => c?["type"]?.ToString() == "Ready" && c["status"]?.ToString() == "True") && Restarts(pod) == 0);

    private static int Restarts(JsonObject pod) => Statuses(pod).Sum(s => s["restartCount"] is JsonValue count && count.TryGetValue<int>(out var number) ? number : 0);

    private static IEnumerable<JsonObject> Statuses(JsonObject pod) =>
        (pod["status"]?["initContainerStatuses"] as JsonArray ?? []).Concat(pod["status"]?["containerStatuses"] as JsonArray ?? []).OfType<JsonObject>();

    private static string Ailment(JsonObject pod)
    {
        var said = Statuses(pod).Select(s =>
                s["state"]?["waiting"]?["reason"]?.ToString()
                ?? (s["lastState"]?["terminated"] is JsonObject ended ? $"last ended with {ended["exitCode"]} ({ended["reason"]})" : null)
                ?? (s["state"]?["terminated"] is JsonObject over ? $"ended with {over["exitCode"]} ({over["reason"]})" : null)
                ?? (s["ready"]?.ToString() == "false" ? "runs and is not ready" : null))
            .OfType<string>().Distinct().ToList();
        var restarts = Restarts(pod);
        return Cut(string.Join(", ", [.. said.DefaultIfEmpty(pod["status"]?["phase"]?.ToString() ?? "without a status"), .. restarts > 0 ? [$"{restarts} restarts"] : Array.Empty<string>()]));
    }

    private static List<(string Service, double Errors, double Requests)> FailingServices(string metrics) =>
        [.. PrometheusText.Parse(metrics).Where(s => s.Name == "http_request_duration_seconds_count" && double.IsFinite(s.Value))
            .GroupBy(s => s.Label("service"))
            .Select(g => (g.Key, Errors: g.Where(s => s.Label("status_code").StartsWith('5')).Sum(s => s.Value), Requests: g.Sum(s => s.Value)))
            .Where(f => f.Errors > 0).OrderByDescending(f => f.Errors / f.Requests)];

    private static string Cut(string text) => text.Length > LongestLine ? text[..LongestLine] + "…" : text;
}

/// <summary>The bundle's first page, for a browser without a network and for a terminal. Everything that others wrote is escaped.</summary>
internal sealed class IncidentIndex(Incident incident, IReadOnlyList<Finding> findings, IReadOnlyList<string> missing, IReadOnlyList<EvidenceFile> files, IReadOnlyList<string> written)
{
    private const string Style =
        "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}pre{background:#f4f4f4;padding:.6rem;overflow:auto;white-space:pre-wrap;word-break:break-word}"
        + "table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}h3{margin-bottom:.2rem}.missing{color:#8a3b00}@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}pre{background:#222}a{color:#8ab4f8}.missing{color:#f0a060}}";

    private string Title => $"Rollback of {incident.Release}";

    private string Facts => $"{incident.Candidate.Role} was taken back, {incident.Live.Role} serves. Looked at {incident.From:yyyy-MM-dd HH:mm:ss} to {incident.To:yyyy-MM-dd HH:mm:ss} UTC.";

    public string ToMarkdown()
    {
        var page = new StringBuilder($"# {Md(Title)}\n\n{Md(Facts)}\n\n## Where to look first\n");
        for (var n = 0; n < findings.Count; n++)
        {
            page.Append(CultureInfo.InvariantCulture, $"\n{n + 1}. {Md(findings[n].Title)}").Append(findings[n].File is { } file ? $" ({file})" : string.Empty).Append('\n');
            foreach (var line in findings[n].Lines)
            {
                // Indented twice, so it is code whatever is in it.
                page.Append("\n        ").Append(line.ReplaceLineEndings(" "));
            }

            page.Append(findings[n].Lines.Count > 0 ? "\n" : string.Empty);
        }

        page.Append("\n## What is missing\n\n").Append(missing.Count == 0 ? "Nothing.\n" : string.Concat(missing.Select(m => $"- {Md(m)}\n")));
        page.Append("\n## Files\n\n").Append(string.Concat(files.Select(f => $"- {Inside(f.Path)} ({f.Bytes} bytes{Age(f)})\n")));
        return page.Append(string.Concat(incident.Elsewhere.Select(e => $"- ../{e}\n"))).ToString();
    }

    public string ToHtml()
    {
        var page = new StringBuilder("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">");
        page.Append($"<title>{Html(Title)}</title><style>{Style}</style></head><body>\n<h1>{Html(Title)}</h1>\n<p>{Html(Facts)}</p>\n<h2>Where to look first</h2>\n<ol>\n");
        foreach (var finding in findings)
        {
            page.Append($"<li><h3>{Html(finding.Title)}</h3>");
            page.Append(finding.Lines.Count > 0 ? $"<pre>{Html(string.Join('\n', finding.Lines))}</pre>" : string.Empty);
            page.Append(finding.File is { } file && files.Any(f => Inside(f.Path) == file) ? Link(file) : string.Empty).Append("</li>\n");
        }

        page.Append("</ol>\n<h2>What is missing</h2>\n").Append(missing.Count == 0 ? "<p>Nothing.</p>\n" : $"<ul class=\"missing\">{string.Concat(missing.Select(m => $"<li>{Html(m)}</li>"))}</ul>\n");
        page.Append("<h2>Files</h2>\n<table>").Append(string.Concat(files.Select(f => $"<tr><td>{Link(Inside(f.Path))}</td><td>{f.Bytes} bytes{Html(Age(f))}</td></tr>\n")));
        page.Append(string.Concat(incident.Elsewhere.Select(e => $"<tr><td>{Link("../" + e)}</td><td></td></tr>\n")));
        return page.Append("</table>\n</body></html>\n").ToString();
    }

    private static string Inside(string path) => path[(IncidentBundle.FolderName.Length + 1)..];

    private static string Link(string file) => $"<a href=\"{Html(string.Join('/', file.Split('/').Select(Uri.EscapeDataString)))}\">{Html(file)}</a>";

    private static string Html(string text) => WebUtility.HtmlEncode(text);

    private static string Md(string text)
    {
        var safe = new StringBuilder();
        foreach (var c in text.ReplaceLineEndings(" "))
        {
            safe.Append("\\`*_[]<>#|!".Contains(c, StringComparison.Ordinal) ? $"\\{c}" : c.ToString());
        }

        return safe.ToString();
    }

    private string Age(EvidenceFile file) => written.Contains(file.Path) ? string.Empty : ", of an earlier export";
}
