namespace Rehearsal.Tests.Aether;

/// <summary>The machine's clock, moved by hand.</summary>
internal sealed class MovableTime : TimeProvider
{
    public TimeSpan Ahead { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Ahead;
}

/// <summary>A clock that runs many times as fast, timers included.</summary>
internal sealed class HurriedTime(int factor) : TimeProvider
{
    private readonly long _start = System.GetTimestamp();
    private readonly DateTimeOffset _began = System.GetUtcNow();

    public override long TimestampFrequency => System.TimestampFrequency;

    public override long GetTimestamp() => (System.GetTimestamp() - _start) * factor;

    public override DateTimeOffset GetUtcNow() => _began + GetElapsedTime(0);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        base.CreateTimer(callback, state, Hurry(dueTime), Hurry(period));

    private TimeSpan Hurry(TimeSpan span) =>
        span <= TimeSpan.Zero ? span : TimeSpan.FromTicks(Math.Max(TimeSpan.TicksPerMillisecond, span.Ticks / factor));
}

/// <summary>A clock whose timers of one length do not end before they are told to.</summary>
internal sealed class HeldTime(TimeSpan held) : TimeProvider
{
    private readonly List<ITimer> _timers = [];
    private bool _released;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        lock (_timers)
        {
            var holds = dueTime == held && !_released;
            var timer = base.CreateTimer(callback, state, holds ? Timeout.InfiniteTimeSpan : dueTime, period);
            if (holds)
            {
                _timers.Add(timer);
            }

            return timer;
        }
    }

    public void Release()
    {
        lock (_timers)
        {
            _released = true;
            _timers.ForEach(timer => timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan));
        }
    }
}
