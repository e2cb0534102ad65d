using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;

namespace Rollout.Tests.Traffic;

/// <summary>
/// A clock that runs to the end of every pause as soon as somebody pauses; longer timers, such as deadlines, come due as it passes them.
/// </summary>
internal sealed class SkippingTime : FakeTimeProvider
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(70);

    public SkippingTime()
        : base(new DateTimeOffset(2026, 11, 2, 9, 0, 0, TimeSpan.Zero))
    {
    }

    public ConcurrentQueue<TimeSpan> Pauses { get; } = new();

    /// <summary>Called as a pause begins.</summary>
    public Action<TimeSpan> OnPause { get; set; } = _ => { };

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        if (dueTime >= TimeSpan.Zero && dueTime <= LongestPause)
        {
            Pauses.Enqueue(dueTime);
            OnPause(dueTime);
            ThreadPool.QueueUserWorkItem(_ => Advance(dueTime));
        }

        return timer;
    }
}

internal sealed class Lines : IProgress<string>
{
    public ConcurrentQueue<string> All { get; } = new();

    public void Report(string value) => All.Enqueue(value);
}
