using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Rollout.Playbook;

/// <summary>
/// What a rollout is made of, fixed by 1.1: the platform's commit, the chart, the overlays and the settings that decide what is rolled out and how it
/// is judged. A run that finds others is refused (invariant 5); images need no comparison, because the install pins the digests that 1.1 recorded.
/// </summary>
/// <param name="Values">What each input is, by its name for people: a commit, a digest, a setting's text.</param>
internal sealed record ReleaseInputs(IReadOnlyDictionary<string, string> Values)
{
    /// <summary>Where 1.1 leaves them in its <c>done</c> entry.</summary>
    public const string Key = "inputs";

    /// <summary>Reads them as they are now.</summary>
    public static async Task<ReleaseInputs> ReadAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var values = new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            ["platform commit"] = await run.Checkout.HeadAsync(cancellationToken),
            ["chart"] = run.Checkout.DigestOfTree(run.Settings["Chart.Path"]!),
        };
        foreach (var overlay in run.Overlays(run.Candidate))
        {
            values[$"values {Path.GetRelativePath(run.Surroundings.Platform, overlay)}"] =
                Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(overlay, cancellationToken)));
        }

        foreach (var setting in run.Settings.Values.Where(v => v.Setting.IsFixed))
        {
            values[$"setting {setting.Setting.Key}"] = setting.Value ?? "none";
        }

        return new ReleaseInputs(values);
    }

    /// <summary>Refuses where an input is not what 1.1 recorded; before 1.1 is done everything is free.</summary>
    /// <exception cref="RolloutException">Exit code 5; the message names each input that changed, with both values.</exception>
    public static async Task RequireUnchangedAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        if (run.Fact(nameof(TagRelease), Key) is not JsonObject recorded)
        {
            return;
        }

        var changes = From(recorded).ChangesTo(await ReadAsync(run, cancellationToken));
        if (changes.Count > 0)
        {
            throw new RolloutException(
                $"{changes.Count} inputs of {run.Release} are not what 1.1 recorded: {string.Join("; ", changes)}. Nothing was changed.",
                "Put them back to resume this rollout, or roll out a new release tag; a rollback needs neither.",
                ExitCode.Refused);
        }
    }

    /// <summary>As the journal keeps them.</summary>
    public JsonObject ToJson() => new(Values.Select(v => KeyValuePair.Create(v.Key, (JsonNode?)JsonValue.Create(v.Value))));

    /// <summary>One sentence for each input that differs; empty where none does.</summary>
    public IReadOnlyList<string> ChangesTo(ReleaseInputs now) =>
        [.. Values.Keys.Union(now.Values.Keys).Order(StringComparer.Ordinal)
            .Where(k => Values.GetValueOrDefault(k) != now.Values.GetValueOrDefault(k))
            .Select(k => $"{k} was {Short(Values.GetValueOrDefault(k))} and is {Short(now.Values.GetValueOrDefault(k))}")];

    internal static ReleaseInputs From(JsonObject recorded) =>
        new(recorded.ToDictionary(p => p.Key, p => p.Value?.GetValue<string>() ?? "none"));

    // A digest's first digits tell two apart; a setting is shown whole.
    private static string Short(string? value) =>
        value is null ? "not there" : value.Length >= 40 && value.All(char.IsAsciiHexDigit) ? value[..12] : $"'{value}'";
}
