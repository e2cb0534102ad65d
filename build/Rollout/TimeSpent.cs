namespace Rollout;

/// <summary>
/// How a step's time was spent: <em>waiting</em> deliberately (a watch's interval, a pause before another attempt), <em>polling</em> until an observation
/// is as wanted, or <em>working</em>, which is all the rest, kubectl, helm and scripts included. Where both overlap it counts as waiting.
/// </summary>
public sealed class TimeSpent
{
    private static readonly AsyncLocal<TimeSpent?> Ambient = new();

    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly long _began;
    private int _waits;
    private int _polls;
    private long _since;
    private TimeSpan _waiting;
    private TimeSpan _polling;

    private TimeSpent(TimeProvider time)
    {
        _time = time;
        _began = _since = time.GetTimestamp();
    }

    /// <summary>Begins to measure what follows in this flow of control, a step.</summary>
    public static TimeSpent Begin(TimeProvider time) => Ambient.Value = new TimeSpent(time);

    /// <summary>The whole, and its two parts that are not work.</summary>
    public (TimeSpan Total, TimeSpan Waiting, TimeSpan Polling) Read()
    {
        lock (_lock)
        {
            Advance();
            return (_time.GetElapsedTime(_began), _waiting, _polling);
        }
    }

    /// <summary>Whatever is measured now waits until the result is disposed of.</summary>
    internal static IDisposable Waiting() => new Period(Ambient.Value, waits: 1, polls: 0);

    /// <summary>Whatever is measured now polls until the result is disposed of.</summary>
    internal static IDisposable Polling() => new Period(Ambient.Value, waits: 0, polls: 1);

    private void Change(int waits, int polls)
    {
        lock (_lock)
        {
            Advance();
            _waits += waits;
            _polls += polls;
        }
    }

    private void Advance()
    {
        var now = _time.GetTimestamp();
        var passed = _time.GetElapsedTime(_since, now);
        _since = now;
        if (_waits > 0)
        {
            _waiting += passed;
        }
        else if (_polls > 0)
        {
            _polling += passed;
        }
    }

    private sealed class Period : IDisposable
    {
        private readonly TimeSpent? _spent;
        private readonly int _waits;
        private readonly int _polls;

        public Period(TimeSpent? spent, int waits, int polls)
        {
            (_spent, _waits, _polls) = (spent, waits, polls);
            spent?.Change(waits, polls);
        }

        public void Dispose() => _spent?.Change(-_waits, -_polls);
    }
}
