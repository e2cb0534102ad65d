using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace Rollout.Database;

/// <summary>A row of trail A's table, as its writer means it.</summary>
internal sealed record AuditRow(
    string? Actor, string? Action, string? Entity, string? Before, string? After, DateTimeOffset At, string Hash, string Previous, string? IpHash, bool Sensitive);

internal enum ChainVerdict
{
    Intact,
    Edited,

    /// <summary>A number is in it whose spelling the database does not keep, and with it the hash does not fit.</summary>
    NotVerifiable,
}

/// <summary>
/// The hash of trail A: SHA-256 over the predecessor's hash and the entry as Python writes it with sorted keys, compact separators and nothing but ASCII
/// (platform contract, section 10).
/// </summary>
internal static class AuditChain
{
    public static readonly string Genesis = new('0', 64);

    public static ChainVerdict Verify(AuditRow row)
    {
        var text = new StringBuilder(row.Previous);
        var strange = false;
        text.Append("{\"action\":");
        Append(text, row.Action);
        text.Append(",\"actor\":");
        Append(text, row.Actor);
        text.Append(",\"after\":");
        strange |= AppendJson(text, row.After);
        text.Append(",\"before\":");
        strange |= AppendJson(text, row.Before);
        text.Append(",\"entity\":");
        Append(text, row.Entity);
        text.Append(",\"ip_hash\":");
        Append(text, row.IpHash);
        text.Append(",\"sensitive\":").Append(row.Sensitive ? "true" : "false").Append(",\"ts\":");
        Append(text, IsoFormat(row.At));
        text.Append('}');
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
        return hash == row.Hash ? ChainVerdict.Intact : strange ? ChainVerdict.NotVerifiable : ChainVerdict.Edited;
    }

    /// <summary>As Python's <c>datetime.isoformat</c> in UTC: six digits of a second, or none.</summary>
    private static string IsoFormat(DateTimeOffset at)
    {
        var utc = at.ToUniversalTime();
        return utc.ToString(utc.Ticks % TimeSpan.TicksPerSecond == 0 ? "yyyy-MM-dd'T'HH:mm:ss'+00:00'" : "yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'", CultureInfo.InvariantCulture);
    }

    private static bool AppendJson(StringBuilder text, string? json)
    {
        if (json is null)
        {
            text.Append("null");
            return false;
        }

        try
        {
            using var document = JsonDocument.Parse(json);
            return Append(text, document.RootElement);
        }
        catch (JsonException)
        {
            text.Append(json);
            return false;
        }
    }

    private static bool Append(StringBuilder text, JsonElement element)
    {
        var strange = false;
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                text.Append('{');
                var first = true;
                foreach (var member in element.EnumerateObject().OrderBy(m => m.Name, CodePoints))
                {
                    text.Append(first ? "" : ",");
                    first = false;
                    Append(text, member.Name);
                    text.Append(':');
                    strange |= Append(text, member.Value);
                }

                text.Append('}');
                return strange;
            case JsonValueKind.Array:
                text.Append('[');
                var separator = string.Empty;
                foreach (var item in element.EnumerateArray())
                {
                    text.Append(separator);
                    separator = ",";
                    strange |= Append(text, item);
                }

                text.Append(']');
                return strange;
            case JsonValueKind.String:
                Append(text, element.GetString());
                return false;
            case JsonValueKind.Number:
                text.Append(element.GetRawText());
                return element.GetRawText().AsSpan().IndexOfAny('.', 'e', 'E') >= 0 || element.GetRawText().Length > 15;
            default:
                text.Append(element.GetRawText());
                return false;
        }
    }

    // Python compares characters, .NET's ordinal order compares halves of the rare ones.
    private static readonly Comparer<string> CodePoints = Comparer<string>.Create((a, b) =>
        Encoding.UTF32.GetBytes(a).Chunk(4).Select(c => BitConverter.ToUInt32(c)).Zip(Encoding.UTF32.GetBytes(b).Chunk(4).Select(c => BitConverter.ToUInt32(c)))
            .Select(pair => pair.First.CompareTo(pair.Second)).FirstOrDefault(order => order != 0) is var order && order != 0 ? order : a.Length.CompareTo(b.Length));

    private static void Append(StringBuilder text, string? value)
    {
        if (value is null)
        {
            text.Append("null");
            return;
        }

        text.Append('"');
        foreach (var c in value)
        {
            _ = c switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                '\b' => text.Append("\\b"),
                '\f' => text.Append("\\f"),
                >= ' ' and <= '~' => text.Append(c),
                _ => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
            };
        }

        text.Append('"');
    }
}
