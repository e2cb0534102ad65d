using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text;

namespace Rollout.Reporting.Page;

/// <summary>Markup that may stand in the page. It is made from an interpolated string in which every hole is escaped, so forgetting to escape is no longer possible.</summary>
internal readonly struct Html
{
    public static readonly Html Empty;

    private readonly string? _markup;

    private Html(string markup) => _markup = markup;

    /// <summary>The string's own text is markup; what stands in its holes is text, unless it is <see cref="Html"/> itself.</summary>
    public static Html Of(HtmlHandler markup) => new(markup.ToString());

    public static Html Join(IEnumerable<Html> parts) => new(string.Concat(parts));

    public override string ToString() => _markup ?? string.Empty;
}

/// <summary>Escapes the holes of an interpolated string.</summary>
[InterpolatedStringHandler]
internal readonly ref struct HtmlHandler
{
    private readonly StringBuilder _text;

    public HtmlHandler(int literalLength, int formattedCount) => _text = new StringBuilder(literalLength + (16 * formattedCount));

    public void AppendLiteral(string markup) => _text.Append(markup);

    public void AppendFormatted(Html markup) => _text.Append(markup.ToString());

    // Overloads are chosen by type, and a list is not an enumerable's: so it is looked at when it is here.
    public void AppendFormatted<T>(T value)
    {
        if (value is IEnumerable<Html> parts)
        {
            _text.Append(Html.Join(parts).ToString());
        }
        else
        {
            AppendText(Convert.ToString(value, CultureInfo.InvariantCulture));
        }
    }

    public void AppendFormatted<T>(T value, string format)
        where T : IFormattable => AppendText(value.ToString(format, CultureInfo.InvariantCulture));

    public override string ToString() => _text.ToString();

    private void AppendText(string? text) => _text.Append(WebUtility.HtmlEncode(Legible(text ?? string.Empty)));

    // What no document may contain, and what would show text in another order than it has.
    private static string Legible(string text)
    {
        if (text.All(c => c is (>= ' ' and < '\u007F') or '\n' or '\t'))
        {
            return text;
        }

        var legible = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            var hidden = rune.Value is (< ' ' and not ('\n' or '\t')) or (>= 0x7F and < 0xA0) or (>= 0x202A and <= 0x202E) or (>= 0x2066 and <= 0x2069) || (rune.Value & 0xFFFE) == 0xFFFE;
            legible.Append(hidden ? "\uFFFD" : rune.ToString());
        }

        return legible.ToString();
    }
}
