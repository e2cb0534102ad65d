using System.Text.Json.Serialization;

namespace Rollout;

/// <summary>
/// A value that must not be printed. <see cref="ToString"/> gives <c>***</c> and JSON gives <c>null</c>, so a secret that slips into a
/// message, the journal or a report is not one there (invariant 8); only <see cref="Reveal"/> hands it out.
/// </summary>
public sealed class Secret(string value)
{
    [JsonIgnore]
    private readonly string _value = value;

    /// <summary>The value itself, for the one call that needs it.</summary>
    public string Reveal() => _value;

    public override string ToString() => "***";
}
