using Cake.Core;
using Cake.Frosting;
using Rollout.Commands;
using Rollout.Environments;
using Rollout.Reporting;

namespace Rollout;

/// <summary>What the command line asked for beside the settings.</summary>
/// <param name="Targets">The targets, in order.</param>
/// <param name="Json">Whether <c>Status</c> answers for a machine.</param>
/// <param name="Verify">Whether <c>Status</c> re-reads the finished steps' postconditions.</param>
/// <param name="Fault">The drill's fault, <c>NAME</c> or <c>NAME=ARGUMENT</c>.</param>
/// <param name="Again">Whether a release that was rolled back may go forward again.</param>
/// <param name="Exclusive">Whether the target runs without its dependencies.</param>
public sealed record RolloutRequest(IReadOnlyList<string> Targets, bool Json, bool Verify, string? Fault, bool Again, bool Exclusive)
{
    /// <summary>What <c>Torture</c> is to do.</summary>
    public Tools.TortureRequest Torture { get; init; } = new();
}

/// <summary>How a run went, for its exit code: kept outside the engine, which does not hand a task's exit code on.</summary>
public sealed class RunOutcome
{
    /// <summary>What ended the run; null while nothing failed.</summary>
    public Exception? Failure { get; set; }

    /// <summary>Whether the rollout has touched clients and was not taken back: a failure now calls for a rollback.</summary>
    public bool ClientsTouched { get; set; }

    /// <summary>The step of the playbook that failed; null where something else did, or nothing.</summary>
    public string? FailedStep { get; set; }

    /// <summary>The very last line of the run; null for none.</summary>
    public string? Closing { get; set; }
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
