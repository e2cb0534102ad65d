namespace Rollout.Supply;

/// <summary>Lets a line through when what was seen has changed, and now and then where it has not: an hour of silence looks like a hang.</summary>
/// <param name="seen">What was seen last, without the time that has passed.</param>
internal sealed class Changes(IProgress<string> progress, Func<string> seen, TimeProvider time) : IProgress<string>
{
    private static readonly TimeSpan Heartbeat = TimeSpan.FromMinutes(5);

    private string? _told;
    private long _at;

    public void Report(string value)
    {
        var now = seen();
        if (now == _told && time.GetElapsedTime(_at) < Heartbeat)
        {
            return;
        }

        (_told, _at) = (now, time.GetTimestamp());
        progress.Report(value);
    }
}
