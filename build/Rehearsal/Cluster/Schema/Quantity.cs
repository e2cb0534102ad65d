using System.Globalization;
using System.Numerics;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// Resource quantities (<c>250m</c>, <c>1.5Gi</c>): parsing, and the shortest text without a fraction, as the real server writes them.
/// </summary>
internal static class Quantity
{
    private static readonly string[] Decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    private static readonly string[] Binary = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

    /// <summary>The canonical form of a string or number, or null when it is no quantity.</summary>
    public static JsonNode? Canonical(JsonNode node)
    {
        var text = node.GetValueKind() switch
        {
            JsonValueKind.String => node.GetValue<string>(),
            JsonValueKind.Number => node.ToJsonString(),
            _ => "",
        };
        return Parse(text) is { } nano ? JsonValue.Create(Format(nano, text.EndsWith('i'))) : null;
    }

    /// <summary>The value in billionths, or null when the text is no quantity.</summary>
    public static BigInteger? Parse(string text)
    {
        var split = text.Length;
        while (split > 0 && char.IsLetter(text[split - 1]))
        {
            split--;
        }

        var suffix = text[split..];
        var number = text[..split];
        if (number.Length > 1 && suffix.Length == 0 && number.Contains('e', StringComparison.OrdinalIgnoreCase))
        {
            return decimal.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out var exponent)
                ? new BigInteger(exponent * 1_000_000_000m)
                : null;
        }

        const NumberStyles Plain = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint;
        if (!decimal.TryParse(number, Plain, CultureInfo.InvariantCulture, out var value))
        {
            return null;
        }

        if (Array.IndexOf(Decimal, suffix) is >= 0 and var power)
        {
            return Scale(value, BigInteger.Pow(1000, power));
        }

        return Array.IndexOf(Binary, suffix) is >= 0 and var shift ? Scale(value, BigInteger.Pow(1024, shift) * 1_000_000_000) : null;
    }

    private static BigInteger Scale(decimal value, BigInteger factor)
    {
        var bits = decimal.GetBits(value);
        var digits = new BigInteger((uint)bits[2]) << 64 | new BigInteger((uint)bits[1]) << 32 | (uint)bits[0];
        var result = BigInteger.Divide(digits * factor, BigInteger.Pow(10, (bits[3] >> 16) & 0x7F));
        return value < 0 ? -result : result;
    }

    private static string Format(BigInteger nano, bool binary)
    {
        if (nano.IsZero)
        {
            return "0";
        }

        if (binary && nano % 1_000_000_000 == 0)
        {
            var units = nano / 1_000_000_000;
            var shift = 0;
            while (shift < Binary.Length - 1 && units % 1024 == 0)
            {
                units /= 1024;
                shift++;
            }

            return units.ToString(CultureInfo.InvariantCulture) + Binary[shift];
        }

        var power = 0;
        while (power < Decimal.Length - 1 && nano % 1000 == 0)
        {
            nano /= 1000;
            power++;
        }

        return nano.ToString(CultureInfo.InvariantCulture) + Decimal[power];
    }
}
