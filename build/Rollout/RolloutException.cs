namespace Rollout;

/// <summary>How a run ends, as the exit code a pipeline branches on (design, "The command line").</summary>
public enum ExitCode
{
    /// <summary>The target is reached.</summary>
    Done = 0,

    /// <summary>A step failed and no client was touched.</summary>
    Failed = 1,

    /// <summary>Arguments or settings are wrong; nothing was touched.</summary>
    BadSettings = 2,

    /// <summary>A step failed after clients were touched, and the rollback is complete: the live slot serves and trades.</summary>
    RolledBack = 3,

    /// <summary>Held, or rolled back incompletely: a person is needed.</summary>
    Held = 4,

    /// <summary>A guard refused: the lock is held, a predecessor is unfinished, or a freeze is in force.</summary>
    Refused = 5,

    /// <summary>Stopped by a signal; the same command resumes.</summary>
    Interrupted = 130,
}

/// <summary>
/// The one expected failure: a fact and a piece of advice, kept apart because the journal stores the fact and the console
/// shows both. Anything else that is thrown is a bug of ours and is printed with its stack.
/// </summary>
public sealed class RolloutException : Exception
{
    /// <param name="message">What was seen, with values, and what was expected.</param>
    /// <param name="hint">What to do next, where there is something; a command line where there is one.</param>
    /// <param name="exitCode">How the run ends because of this.</param>
    /// <param name="innerException">The cause, where a library reported one.</param>
    public RolloutException(string message, string? hint = null, ExitCode exitCode = ExitCode.Failed, Exception? innerException = null)
        : base(message, innerException)
    {
        Hint = hint;
        ExitCode = exitCode;
    }

    /// <summary>What to do next; null where the message says all there is.</summary>
    public string? Hint { get; }

    /// <summary>How the run ends because of this.</summary>
    public ExitCode ExitCode { get; }
}
