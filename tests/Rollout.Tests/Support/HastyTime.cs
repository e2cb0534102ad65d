using Microsoft.Extensions.Time.Testing;

namespace Rollout.Tests.Support;

/// <summary>
/// A clock for code that pauses between real requests: a pause shorter than <paramref name="deadline"/> seconds is over at once and moves the
/// clock by its length; a longer timer is a deadline of a request and never strikes.
/// </summary>
internal sealed class HastyTime(int deadline = 3) : TimeProvider
{
    private readonly FakeTimeProvider _clock = new(new DateTimeOffset(2026, 11, 23, 12, 0, 0, TimeSpan.Zero));

    public override long TimestampFrequency => _clock.TimestampFrequency;

    /// <summary>Called at every pause, before it ends.</summary>
    public Action? OnPause { get; set; }

    public override DateTimeOffset GetUtcNow() => _clock.GetUtcNow();

    public override long GetTimestamp() => _clock.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime < TimeSpan.Zero || dueTime >= TimeSpan.FromSeconds(deadline))
        {
            return _clock.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, period);
        }

        OnPause?.Invoke();
        _clock.Advance(dueTime);
        ThreadPool.QueueUserWorkItem(_ => callback(state));
        return _clock.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, period);
    }
}

/// <summary>Keeps what was reported.</summary>
internal sealed class Reports : IProgress<string>
{
    private readonly List<string> _lines = [];

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines)
            {
                return [.. _lines];
            }
        }
    }

    public void Report(string value)
    {
        lock (_lines)
        {
            _lines.Add(value);
        }
    }
}
