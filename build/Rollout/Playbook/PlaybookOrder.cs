namespace Rollout.Playbook;

/// <summary>The order of the steps and the stage each belongs to; the attributes' chain is held against it by a test.</summary>
public static class PlaybookOrder
{
    private static readonly (string Stage, string[] Steps)[] Stages =
    [
        (nameof(Prepare), [nameof(TagRelease), nameof(VerifyMigrations), nameof(ExportHealthSnapshot), nameof(StageConfig)]),
        (nameof(Deploy), [nameof(CreateGreenNamespace), nameof(InstallChart), nameof(BootstrapObservability), nameof(SeedState), nameof(SmokeTest)]),
        (nameof(Switch), [nameof(FreezeWrites), nameof(FlipDns), nameof(MonitorTraffic), nameof(ReenableTrading)]),
        (nameof(Verify), [nameof(RefreshAggregates), nameof(AuditGovernance), nameof(ArchiveArtefacts)]),
        (nameof(Rollback), [nameof(ReenableSafeMode), nameof(RestoreDns), nameof(ValidateBlue), nameof(InvestigateFailure)]),
    ];

    /// <summary>The steps that go forward, in the playbook's order.</summary>
    public static IReadOnlyList<string> Forward { get; } = [.. Stages.Where(s => s.Stage != nameof(Rollback)).SelectMany(s => s.Steps)];

    /// <summary>All twenty steps, in the playbook's order.</summary>
    public static IReadOnlyList<string> All { get; } = [.. Stages.SelectMany(s => s.Steps)];

    /// <summary>The steps that must be done before this one; none for the rollback's, which start from any state.</summary>
    public static IEnumerable<string> Before(string step) => Forward.Contains(step) ? Forward.TakeWhile(s => s != step) : [];

    /// <summary>The stage that ends this step's chapter.</summary>
    public static string StageOf(string step) => Stages.First(s => s.Steps.Contains(step)).Stage;

    /// <summary>The steps of a stage alone.</summary>
    public static IReadOnlyList<string> StepsOf(string stage) => Stages.First(s => s.Stage == stage).Steps;

    /// <summary>Whether a target goes back.</summary>
    public static bool IsBackward(string target) =>
        string.Equals(target, nameof(Rollback), StringComparison.OrdinalIgnoreCase)
        || StepsOf(nameof(Rollback)).Contains(target, StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether a target only looks at the rollout there is.</summary>
    public static bool IsReading(string target) => string.Equals(target, nameof(Tools.Status), StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether a target changes nothing, so that it needs no lock and may run beside a rollout.</summary>
    public static bool ChangesNothing(string target) => IsReading(target) || string.Equals(target, nameof(Tools.Plan), StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether somebody who asks for this target asks for this step, and not only for something that comes after its stage.</summary>
    public static bool IsAsked(string target, string step) =>
        string.Equals(target, step, StringComparison.OrdinalIgnoreCase)
        || string.Equals(target, StageOf(step), StringComparison.OrdinalIgnoreCase)
        || (string.Equals(target, "Rollout", StringComparison.OrdinalIgnoreCase) && Forward.Contains(step))
        || (Forward.FirstOrDefault(s => string.Equals(s, target, StringComparison.OrdinalIgnoreCase)) is { } other && StageOf(other) == StageOf(step));
}
