using Cake.Core;
using Cake.Frosting;
using Rollout.Commands;
using Rollout.Environments;
using Rollout.Playbook;
using Rollout.Reporting;

namespace Rollout;

/// <summary>What the command line asked for beside the settings.</summary>
/// <param name="Targets">The targets, in order.</param>
public sealed record RolloutRequest(IReadOnlyList<string> Targets)
{
    /// <summary>Nothing to do: for the engine's own modes.</summary>
    public static readonly RolloutRequest None = new([]);

    /// <summary>Whether <c>Status</c> answers for a machine.</summary>
    public bool Json { get; init; }

    /// <summary>Whether <c>Status</c> re-reads the finished steps' postconditions.</summary>
    public bool Verify { get; init; }

    /// <summary>The drill's fault, <c>NAME</c> or <c>NAME=ARGUMENT</c>.</summary>
    public string? Fault { get; init; }

    /// <summary>Whether a release that was rolled back may go forward again.</summary>
    public bool Again { get; init; }

    /// <summary>Whether the rollout may go on although a rollback cannot lead back any more.</summary>
    public bool AcceptPointOfNoReturn { get; init; }

    /// <summary>Why the lock is taken from a holder that is not known to be dead; null where it is not.</summary>
    public string? BreakLock { get; init; }

    /// <summary>The evidence that <c>Judge</c> judges; null where none was named.</summary>
    public string? EvidencePath { get; init; }

    /// <summary>Whether the target runs without its dependencies.</summary>
    public bool Exclusive { get; init; }

    /// <summary>What <c>Torture</c> is to do.</summary>
    public Tools.TortureRequest Torture { get; init; } = new();

    /// <summary>Whether no target goes back or only looks.</summary>
    public bool GoesForward => Targets.All(t => !PlaybookOrder.IsBackward(t) && !PlaybookOrder.IsReading(t));

    /// <summary>Whether no person asked: a failed run rolls back by itself.</summary>
    public bool IsAutomatic { get; init; }

    /// <summary>From the command line.</summary>
    public static RolloutRequest From(CommandLineArguments arguments) => new(arguments.Targets)
    {
        Json = arguments.Options.ContainsKey("json"),
        Verify = arguments.Options.ContainsKey("verify"),
        Fault = arguments.Options.GetValueOrDefault("fault"),
        Again = arguments.Options.ContainsKey("again"),
        AcceptPointOfNoReturn = arguments.Options.ContainsKey("accept-point-of-no-return"),
        BreakLock = arguments.Options.GetValueOrDefault("break-lock"),
        EvidencePath = arguments.Options.GetValueOrDefault("from"),
        Torture = Tools.TortureRequest.From(arguments.Options),
        Exclusive = arguments.Modes.Contains("exclusive"),
    };
}

/// <summary>How a run went, for its exit code: kept outside the engine, which does not hand a task's exit code on.</summary>
public sealed class RunOutcome
{
    /// <summary>What ended the run; null while nothing failed.</summary>
    public Exception? Failure { get; set; }

    /// <summary>Where the rollout stood when the run ended; null where it was never opened.</summary>
    public RolloutProgress? Progress { get; set; }

    /// <summary>Whether this run found a rollback that a failed run had begun by itself, and is to finish it.</summary>
    public bool MustFinishRollback { get; set; }

    /// <summary>What is done about the failure.</summary>
    public Aftermath Aftermath { get; set; }

    /// <summary>What the failure itself asks for.</summary>
    public ExitCode Code => Failure is RolloutException failure ? failure.ExitCode : ExitCode.Failed;

    /// <summary>The step of the playbook that failed; null where something else did, or nothing.</summary>
    public string? FailedStep { get; set; }

    /// <summary>How the time of the step that runs now, or ran last, was spent; null before the first.</summary>
    public TimeSpent? Spent { get; set; }

    /// <summary>The very last line of the run; null for none.</summary>
    public string? Closing { get; set; }

    /// <summary>This call's trace; the rollback that follows belongs to it, too.</summary>
    public RolloutTrace? Trace { get; init; }

    /// <summary>A rehearsal's client while it runs: it outlives the run whose rollback follows.</summary>
    public Tools.RehearsalClient? Client { get; set; }

    /// <summary>What a rehearsal's client saw; null while it runs, or where there is none.</summary>
    public Tools.ClientView? ClientView { get; set; }
}

/// <summary>What every task shares. It touches nothing: the first step that runs opens the rollout.</summary>
public sealed class RolloutContext(
    ICakeContext context,
    RolloutSettings settings,
    RolloutRequest request,
    RolloutConsole console,
    RunOutcome outcome,
    ToolBox tools,
    CommandRunner commands,
    TimeProvider time,
    RunCancellation cancellation) : FrostingContext(context)
{
    private RolloutRun? _run;

    /// <summary>The very last line of the run, after the engine's table; null for none.</summary>
    public string? Closing
    {
        get => Outcome.Closing;
        set => Outcome.Closing = value;
    }

    public RolloutSettings Settings { get; } = settings;

    public RolloutRequest Request { get; } = request;

    public RolloutConsole Console { get; } = console;

    public RunOutcome Outcome { get; } = outcome;

    public ToolBox ToolBox { get; } = tools;

    public CommandRunner Commands { get; } = commands;

    public TimeProvider Time { get; } = time;

    /// <summary>Cancelled by SIGINT and SIGTERM.</summary>
    public CancellationToken Token { get; } = cancellation.Token;

    /// <summary>The rollout, once a step has opened it.</summary>
    public RolloutRun? OpenRun => _run;

    /// <summary>The rollout of this run: the environment is entered, roles and journal are read.</summary>
    /// <exception cref="RolloutException">The environment does not answer, or the journal cannot be trusted.</exception>
    public async Task<RolloutRun> OpenAsync() => _run ??= await RolloutRun.OpenAsync(this);

    /// <summary>The embedded environment of this checkout.</summary>
    public EmbeddedWorld EmbeddedWorld() => new(Settings["Rollout.Directory"]!, ToolBox, Time, Console.Progress);

    /// <summary>The command that runs a target with this run's environment and release.</summary>
    public string CommandFor(string target) => Settings.CommandFor(target);
}

/// <summary>The token that signals cancel.</summary>
public sealed class RunCancellation(CancellationToken token)
{
    public CancellationToken Token { get; } = token;
}
