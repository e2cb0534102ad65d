namespace Rollout.Tools;

/// <summary>How a drill must end.</summary>
public enum DrillEnd
{
    /// <summary>The rollout fails and is rolled back without anybody's word.</summary>
    RolledBack,

    /// <summary>There is not enough evidence either way; everything stays as it is, for a person.</summary>
    Held,

    /// <summary>The rollout goes on to its end.</summary>
    Done,
}

/// <summary>A misbehaviour that a rehearsal is given, and what must become of it.</summary>
/// <param name="Name">As <c>--fault</c> has it.</param>
/// <param name="Fault">The world's own name for it, with its argument; <c>live</c> and <c>candidate</c> in it stand for the slots.</param>
/// <param name="Begins">The step that sets it.</param>
public sealed record Drill(string Name, string Fault, string Begins, DrillEnd Ends, string Meaning)
{
    private const string Flip = "FreezeWrites";
    private const string Watch = "MonitorTraffic";

    /// <summary>The drills with names of their own.</summary>
    public static readonly IReadOnlyList<Drill> Known =
    [
        new("error-spike", "errors=candidate:0.05", Watch, DrillEnd.RolledBack, "5 % of the candidate's requests fail"),
        new("latency-spike", "latency=candidate:100", Watch, DrillEnd.RolledBack, "every request of the candidate takes 100 ms more"),
        new("slow-leak", "latency-grows=candidate:20", Watch, DrillEnd.RolledBack, "every request of the candidate takes 20 ms more each second"),
        new("no-metrics", "metrics-missing=candidate", Watch, DrillEnd.Held, "the candidate's metrics pages are gone"),
        new("counter-reset", "counter-reset=candidate:2", Watch, DrillEnd.Done, "the candidate's counters begin anew in the middle of the watch"),
        new("one-service-down", "service-down=candidate:risk-service", Watch, DrillEnd.RolledBack, "one service of the candidate gives no answer any more"),
        new("unhealthy-200", "health-error=candidate:risk-service", Watch, DrillEnd.RolledBack, "one service of the candidate answers 200 and tells of a failing check"),
        new("scaling-stalled", "scaling-stalled=candidate", Watch, DrillEnd.RolledBack, "the candidate's scaling controller stands still"),
        new("traces-off", "traces-off", Watch, DrillEnd.Done, "spans are accepted and forgotten: 3.4 reports that tracing is off"),
    ];

    /// <summary>The drill that is asked for: one with a name, or a fault of the world's, which is set right before the freeze and must be rolled back.</summary>
    /// <param name="fault"><c>NAME</c>, or a fault as <c>NAME=ARGUMENT</c>.</param>
    public static Drill Of(string fault) =>
        Known.FirstOrDefault(d => d.Name == fault) ?? new Drill(fault, fault, Flip, DrillEnd.RolledBack, string.Empty);

    /// <summary>What must become of it, as people say it.</summary>
    public string MustEnd => Ends switch
    {
        DrillEnd.RolledBack => "be rolled back",
        DrillEnd.Held => "be held",
        _ => "be done",
    };
}
