namespace Rollout.Reporting.Page;

/// <summary>A table that becomes a list of cards where there is no room for columns; each row's first cell heads it.</summary>
internal static class PageTable
{
    public static Html Of(string caption, IReadOnlyList<string> columns, IEnumerable<IReadOnlyList<Html>> rows, string kind = "") => Html.Of($"""
        <table class="{kind}"><caption>{caption}</caption><thead><tr>{columns.Select(c => Html.Of($"""<th scope="col">{c}</th>"""))}</tr></thead><tbody>
        {rows.Select(r => Row(columns, r))}</tbody></table>

        """);

    public static Html Text(string? text) => Html.Of($"{text}");

    private static Html Row(IReadOnlyList<string> columns, IReadOnlyList<Html> cells) => Html.Of($"""
        <tr><th scope="row">{cells[0]}</th>{cells.Skip(1).Select((c, i) => Html.Of($"""<td data-label="{columns[i + 1]}">{c}</td>"""))}</tr>

        """);
}
