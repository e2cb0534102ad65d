using System.Globalization;
using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>A number of pods, or a percentage of all of them.</summary>
internal static class Share
{
    /// <summary>The value in pods; null when it is neither a number nor a percentage.</summary>
    public static int? Of(JsonNode? value, int total, bool roundUp)
    {
        if (value.Number() is { } number)
        {
            return Math.Max(0, number);
        }

        return value.Text() is { } text && text.EndsWith('%')
            && int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var percent)
            ? Percent(percent, total, roundUp)
            : null;
    }

    public static int Percent(int percent, int total, bool roundUp) => roundUp ? ((percent * total) + 99) / 100 : percent * total / 100;
}
