using System.Text;
using System.Text.Json.Nodes;

namespace Rollout.Monitoring;

/// <summary>What was seen of one workload's observability.</summary>
/// <param name="Variables">How many variables it has.</param>
/// <param name="Metrics">The exporter's answer in words.</param>
/// <param name="Traces">Where the probe's trace is, or why there is none.</param>
/// <param name="Problems">What is not as it must be, in sentences without the workload's name; none where all is well.</param>
public sealed record ObservabilityRow(string Workload, int Variables, string Metrics, string Traces, IReadOnlyList<string> Problems);

/// <summary>A slot's observability, seen service by service: no row is inferred from a variable.</summary>
/// <param name="Slot">As messages name it.</param>
/// <param name="Tracing"><c>on</c>, <c>off</c> or <c>unknown</c>, and why.</param>
/// <param name="Notes">What a person should know although it is no problem.</param>
public sealed record ObservabilityTable(string Slot, DateTimeOffset SeenAt, IReadOnlyList<ObservabilityRow> Rows, string Tracing, IReadOnlyList<string> Notes)
{
    /// <summary>Everything that is not as it must be, each with its workload.</summary>
    public IReadOnlyList<string> Problems => [.. Rows.SelectMany(r => r.Problems.Select(p => $"{r.Workload} {p}"))];

    /// <summary>One line for the console.</summary>
    public string Summary =>
        $"{Rows.Count(r => r.Metrics.StartsWith("read", StringComparison.Ordinal))} of {Rows.Count} workloads export metrics, {Rows.Count(r => r.Traces.StartsWith("traced", StringComparison.Ordinal))} are traced; tracing is {Tracing}";

    /// <summary>For machines.</summary>
    public JsonObject ToJson() => new()
    {
        ["slot"] = Slot,
        ["seenAt"] = SeenAt.ToString("O"),
        ["tracing"] = Tracing,
        ["notes"] = new JsonArray([.. Notes.Select(n => JsonValue.Create(n))]),
        ["workloads"] = new JsonArray([.. Rows.Select(r => new JsonObject
        {
            ["workload"] = r.Workload,
            ["variables"] = r.Variables,
            ["metrics"] = r.Metrics,
            ["traces"] = r.Traces,
            ["problems"] = new JsonArray([.. r.Problems.Select(p => JsonValue.Create(p))]),
        })]),
    };

    /// <summary>For people: one line a workload, problems below.</summary>
    public string ToText()
    {
        var text = new StringBuilder($"Observability of {Slot}, seen at {SeenAt:yyyy-MM-dd HH:mm:ss} UTC\n{Summary}\n\n");
        string[] titles = ["workload", "variables", "metrics", "traces"];
        var cells = Rows.Select(r => new[] { r.Workload, r.Variables.ToString(System.Globalization.CultureInfo.InvariantCulture), r.Metrics, r.Traces }).Prepend(titles).ToList();
        var widths = titles.Select((_, column) => cells.Max(c => c[column].Length)).ToList();
        foreach (var row in cells)
        {
            text.AppendLine(string.Join("  ", row.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
        }

        foreach (var problem in Problems)
        {
            text.AppendLine().Append("! ").Append(problem);
        }

        foreach (var note in Notes)
        {
            text.AppendLine().Append("- ").Append(note);
        }

        return text.AppendLine().ToString();
    }
}
