using System.Text.Json.Nodes;

namespace Rollout.Reporting.Page;

/// <summary>Every step that was begun, over one time axis with the freeze behind it.</summary>
internal static class TimelineSection
{
    private const int LaneHeight = 20;

    public static Html Of(ReportSource source, ReportStory story)
    {
        if (story.Steps.Count == 0)
        {
            return Html.Of($"""<p class="missing">No step was begun, so there is no timeline.</p>""");
        }

        var axis = new TimeAxis(story.Steps.SelectMany(s => s.Attempts).Select(a => (a.From, a.To)));
        var marks = FlipSection.Marks(story);
        return Html.Of($"""
            <table class="gantt"><caption>Time is UTC. {(story.Freezes.Count > 0 ? "In the shaded part no slot traded." : "Trading was never frozen.")}</caption>
            <thead class="scale"><tr><th scope="col">Step</th><th scope="col">Outcome</th><th scope="col">Took</th><th scope="col" class="scale">{Plot.Marks(axis, story.Freezes, marks)}{Plot.Ticks(axis)}</th></tr></thead>
            <tbody>{story.Steps.Select(s => Lane(s, axis, story, marks))}</tbody></table>
            {Details(story)}
            """);
    }

    private static Html Lane(StepStory step, TimeAxis axis, ReportStory story, IReadOnlyList<PlotMark> marks)
    {
        var bars = step.Attempts.Select(a => Html.Of(
            $"""<rect class="bar {Kind(a, step)}" x="{axis.X(a.From):0.#}" y="5" width="{Math.Max(3, axis.X(a.To) - axis.X(a.From)):0.#}" height="10"><title>{step.Title}: {a.State}, {Words.Clock(a.From)} to {Words.Clock(a.To)} UTC</title></rect>"""));
        var outcome = step is { Undone: true, Last.State: "done" } ? "undone" : step.Last.State;
        return Html.Of($"""
            <tr><th scope="row"><b>{step.Number}</b> {step.Title}</th><td data-label="Outcome">{Words.Badge(outcome)}</td><td data-label="Took">{Words.Span(step.Last.Took)}</td><td>
            <svg role="img" viewBox="0 0 {TimeAxis.Width} {LaneHeight}" preserveAspectRatio="none"><title>{step.Number} {step.Title}: {Words.Period(step.Attempts[0].From, step.Last.To)}</title>{Plot.Bands(axis, story.Freezes, marks, LaneHeight)}<path class="lane" d="M0 10H{TimeAxis.Width}"/>{bars}</svg></td></tr>

            """);
    }

    private static string Kind(Attempt attempt, StepStory step) => attempt.State switch
    {
        "done" => step.Undone && attempt == step.Last ? "doubt" : "done",
        "failed" => "failed",
        _ => "doubt",
    };

    private static Html Details(ReportStory story) => Html.Of($"""
        <details><summary>What each step did, and where its time went</summary>
        {PageTable.Of(
            "Every attempt, oldest first",
            ["Step", "Outcome", "Began (UTC)", "Took", "Waiting", "Polling", "What"],
            story.Steps.SelectMany(s => s.Attempts.Select(a => (Step: s, Attempt: a))).OrderBy(a => a.Attempt.Begin.Sequence).Select(a => (IReadOnlyList<Html>)
            [
                Html.Of($"{a.Step.Number} {a.Step.Title}"),
                Words.Badge(a.Attempt.State),
                PageTable.Text(Words.Moment(a.Attempt.From)),
                PageTable.Text(Words.Span(a.Attempt.Took)),
                PageTable.Text(Part(a.Attempt.End?.Data, "waitingMs")),
                PageTable.Text(Part(a.Attempt.End?.Data, "pollingMs")),
                What(a.Attempt),
            ]))}</details>
        """);

    private static string Part(JsonObject? data, string name) => data.Number(name) is { } ms ? Words.Span(TimeSpan.FromMilliseconds(Math.Min(ms, 1e12))) : "not measured";

    private static Html What(Attempt attempt)
    {
        var changes = attempt.Begin.Data.Texts("changes");
        var said = attempt.End?.Data.Text("message");
        return Html.Of(
            $"{(said is null ? Html.Empty : Html.Of($"""<p class="bad">{Words.Cut(said, 1000)}</p>"""))}{(changes.Count == 0 ? "nothing was to be changed" : Words.Cut(string.Join("; ", changes), 800))}");
    }
}
