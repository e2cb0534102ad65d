namespace Rehearsal.Aether;

/// <summary>A running container. Disposing it is SIGTERM: when that returns, nothing of it acts any more.</summary>
public sealed class StandInProcess : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private int _disposed;

    internal StandInProcess(Func<CancellationToken, Task<int>> run) => Completion = Task.Run(() => run(_stop.Token));

    /// <summary>Ends with the exit code: 0 for a job that did its work or a service that was stopped, 1 for one that failed,
    /// 127 for an image nobody knows, 143 for a job that was stopped.</summary>
    public Task<int> Completion { get; }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            await _stop.CancelAsync();
            await Completion;
            _stop.Dispose();
        }
    }
}
