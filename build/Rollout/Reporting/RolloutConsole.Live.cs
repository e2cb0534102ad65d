using Spectre.Console;
using Spectre.Console.Rendering;

namespace Rollout.Reporting;

/// <summary>A table that is drawn anew in place.</summary>
/// <param name="Title">Above it.</param>
/// <param name="Rows">A row with its colour: <c>green</c>, <c>red</c>, <c>yellow</c> or <c>grey</c>.</param>
/// <param name="Footer">Lines below it.</param>
public sealed record LiveTable(
    string Title, IReadOnlyList<string> Columns, IReadOnlyList<(string Colour, IReadOnlyList<string> Cells)> Rows, IReadOnlyList<string> Footer);

/// <content>A live view on a terminal; plain lines where there is none.</content>
public sealed partial class RolloutConsole
{
    /// <summary>
    /// Runs something that shows how it goes: on a terminal with colours by a table that is updated in place and stays as it was last; elsewhere by
    /// the lines that it reports, and no table, so that a log has no control characters.
    /// </summary>
    /// <param name="work">Given the table's update, and the progress to report to.</param>
    public async Task<T> LiveAsync<T>(Func<Action<LiveTable>, IProgress<string>, Task<T>> work)
    {
        if (!_out.Profile.Capabilities.Ansi)
        {
            return await work(_ => { }, Progress);
        }

        T result = default!;
        var footer = new LastLine();
        await _out.Live(new Text(string.Empty)).Overflow(VerticalOverflow.Ellipsis).StartAsync(async view =>
            result = await work(
                table =>
                {
                    lock (_lock)
                    {
                        view.UpdateTarget(Render(table, footer.Text));
                        view.Refresh();
                    }
                },
                footer));
        return result;
    }

    private static Rows Render(LiveTable live, string? last)
    {
        var table = new Table { Border = TableBorder.Simple };
        foreach (var column in live.Columns)
        {
            table.AddColumn(new TableColumn(new Text(column)));
        }

        foreach (var (colour, cells) in live.Rows)
        {
            table.AddRow(cells.Select(cell => new Text(cell, new Style(ColourOf(colour)))));
        }

        return new Rows(
            [
                new Text("  " + live.Title, new Style(decoration: Decoration.Bold)),
                table,
                .. live.Footer.Append(last).Where(line => line is not null).Select(line => (IRenderable)new Text("  " + line, new Style(Color.Grey))),
            ]);
    }

    private static Color ColourOf(string colour) => colour switch
    {
        "green" => Color.Green,
        "red" => Color.Red,
        "yellow" => Color.Yellow,
        _ => Color.Grey,
    };

    private sealed class LastLine : IProgress<string>
    {
        public string? Text { get; private set; }

        public void Report(string value) => Text = value;
    }
}
