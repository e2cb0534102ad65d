namespace Rollout;

/// <summary>Waits until the world is as wanted: one deadline, one interval, and the last observation in the error.</summary>
public static class Waiting
{
    /// <summary>After this long a person is told what is being waited for.</summary>
    public static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(2);

    /// <summary>A time span as people say it, in at most two units; one that lies ahead, by a clock that is off, is no time.</summary>
    public static string Words(TimeSpan age) =>
        age < TimeSpan.Zero ? "0 s"
        : age.TotalHours >= 1 ? $"{(int)age.TotalHours} h {age.Minutes} min"
        : age.TotalMinutes >= 1 ? $"{age.Minutes} min {age.Seconds} s"
        : $"{age.TotalSeconds:0} s";

    /// <summary>
    /// Observes until <paramref name="reached"/> accepts the observation, and returns it.
    /// </summary>
    /// <param name="what">What is waited for, as in "still waiting for WHAT".</param>
    /// <param name="observe">Looks at the world; its exceptions end the wait.</param>
    /// <param name="reached">Whether the observation is the wanted one.</param>
    /// <param name="describe">The observation in words, for progress and for the error.</param>
    /// <param name="timeout">How long to wait at most.</param>
    /// <param name="interval">How long to pause between two observations.</param>
    /// <param name="progress">Told every two seconds what was seen last.</param>
    /// <exception cref="RolloutException">The time is up; the message carries the last observation.</exception>
    public static async Task<T> UntilAsync<T>(
        string what,
        Func<CancellationToken, Task<T>> observe,
        Func<T, bool> reached,
        Func<T, string> describe,
        TimeSpan timeout,
        TimeSpan interval,
        TimeProvider time,
        IProgress<string> progress,
        CancellationToken cancellationToken)
    {
        var start = time.GetTimestamp();
        var told = TimeSpan.Zero;
        using var polling = TimeSpent.Polling();
        while (true)
        {
            var seen = await observe(cancellationToken);
            if (reached(seen))
            {
                return seen;
            }

            var elapsed = time.GetElapsedTime(start);
            if (elapsed >= timeout)
            {
                throw new RolloutException($"Waited {timeout.TotalSeconds:0.#} s for {what}; last seen: {describe(seen)}.");
            }

            if (elapsed - told >= QuietTime)
            {
                told = elapsed;
                progress.Report($"waiting for {what} ({elapsed.TotalSeconds:0} s of {timeout.TotalSeconds:0} s): {describe(seen)}");
            }

            await Task.Delay(interval, time, cancellationToken);
        }
    }

    /// <summary>Lets time pass that has to pass, whatever the world looks like: a watch's interval, a pause before another attempt.</summary>
    public static async Task PauseAsync(TimeSpan pause, TimeProvider time, CancellationToken cancellationToken)
    {
        using var waiting = TimeSpent.Waiting();
        await Task.Delay(pause, time, cancellationToken);
    }
}
