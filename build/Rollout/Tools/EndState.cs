using System.Globalization;
using System.Text.RegularExpressions;

namespace Rollout.Tools;

/// <summary>
/// What a run left behind, as facts by name: where clients are sent, who is fenced, who trades, what is installed, what evidence there is, and
/// how often each effect took place. Two runs that did the same have the same facts, whatever their release.
/// </summary>
public sealed partial record EndState(IReadOnlyDictionary<string, string> Facts)
{
    private const string Repeated = "-repeated";

    /// <summary>In sentences, what is not as the reference left it; empty where nothing is.</summary>
    public IReadOnlyList<string> DifferencesFrom(EndState reference) =>
    [
        .. reference.Facts.Keys.Union(Facts.Keys).Order(StringComparer.Ordinal)
            .Where(name => reference.Facts.GetValueOrDefault(name) != Facts.GetValueOrDefault(name))
            .Select(name => $"{name}: {Facts.GetValueOrDefault(name, "none")}, uninterrupted {reference.Facts.GetValueOrDefault(name, "none")}"),
    ];

    /// <summary>How often each effect took place in between. Calls that found things done and changed nothing are no effects.</summary>
    public static IEnumerable<(string Name, string Value)> EffectsBetween(IReadOnlyDictionary<string, int> before, IReadOnlyDictionary<string, int> after) =>
        after.Where(e => !e.Key.EndsWith(Repeated, StringComparison.Ordinal) && e.Value != before.GetValueOrDefault(e.Key))
            .Select(e => ($"effect {e.Key}", (e.Value - before.GetValueOrDefault(e.Key)).ToString(CultureInfo.InvariantCulture)));

    /// <summary>A file of evidence under a name that the same file of another run has: how long the journal was, and which run CI made, is no difference.</summary>
    public static string EvidenceName(string path) => CiLogs().Replace(JournalCopy().Replace(path, "journal-N.jsonl"), "ci-logs-N-");

    [GeneratedRegex(@"journal-\d+\.jsonl$")]
    private static partial Regex JournalCopy();

    [GeneratedRegex(@"ci-logs-\d+-")]
    private static partial Regex CiLogs();
}
