using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Rollout.Journal;

/// <summary>What an entry says about its step (design, "The journal").</summary>
[JsonConverter(typeof(JsonStringEnumConverter<JournalEvent>))]
public enum JournalEvent
{
    [JsonStringEnumMemberName("started")]
    Started,

    /// <summary>Something is about to be changed; the data holds the old value.</summary>
    [JsonStringEnumMemberName("intent")]
    Intent,

    /// <summary>A part of a step, or the step itself where <see cref="JournalEntry.Part"/> is null, is complete.</summary>
    [JsonStringEnumMemberName("done")]
    Done,

    [JsonStringEnumMemberName("failed")]
    Failed,

    [JsonStringEnumMemberName("skipped")]
    Skipped,

    /// <summary>A completed step's effect was taken back by a rollback.</summary>
    [JsonStringEnumMemberName("undone")]
    Undone,

    [JsonStringEnumMemberName("interrupted")]
    Interrupted,
}

/// <summary>One line of the journal.</summary>
/// <param name="Sequence">1, 2, 3, … without gaps.</param>
/// <param name="Step">The target's name, as in <c>FlipDns</c>.</param>
/// <param name="Part">A part of a step that is journalled on its own, as <c>migrations</c> of 2.4; null for the step as a whole.</param>
/// <param name="Actor">Who ran it, <c>USER@HOST</c>.</param>
/// <param name="Run">Which run wrote it.</param>
/// <param name="Previous">SHA-256 of the line before, as it was written; 64 zeros for the first.</param>
public sealed record JournalEntry(
    [property: JsonPropertyName("seq")] int Sequence,
    [property: JsonPropertyName("time")] DateTimeOffset Time,
    [property: JsonPropertyName("step")] string Step,
    [property: JsonPropertyName("event")] JournalEvent Event,
    [property: JsonPropertyName("part"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Part,
    [property: JsonPropertyName("actor")] string Actor,
    [property: JsonPropertyName("run")] string Run,
    [property: JsonPropertyName("data"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonObject? Data,
    [property: JsonPropertyName("prev")] string Previous)
{
    /// <summary>What the first entry's <see cref="Previous"/> is.</summary>
    public static readonly string Genesis = new('0', 64);

    private static readonly JsonSerializerOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The line as it is stored, without its line break.</summary>
    public string ToLine() => JsonSerializer.Serialize(this, Options);

    /// <exception cref="JsonException">The line is no entry.</exception>
    public static JournalEntry FromLine(string line) =>
        JsonSerializer.Deserialize<JournalEntry>(line, Options) ?? throw new JsonException("The line is null.");

    /// <summary>SHA-256 of a stored line: the <see cref="Previous"/> of the next one.</summary>
    public static string HashOf(string line) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(line)));
}
