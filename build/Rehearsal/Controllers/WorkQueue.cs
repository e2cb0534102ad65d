using System.Threading.Channels;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>
/// Keys to reconcile, each at most once in the queue: what is added while it waits is one piece of work, what is added while it
/// is worked on is one more.
/// </summary>
internal sealed class WorkQueue(TimeProvider time) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly HashSet<ObjectKey> _waiting = [];
    private readonly Dictionary<ObjectKey, (DateTimeOffset Due, ITimer Timer)> _later = [];
    private readonly Channel<ObjectKey> _ready = Channel.CreateUnbounded<ObjectKey>(new UnboundedChannelOptions { SingleReader = true });

    public void Add(ObjectKey key)
    {
        lock (_lock)
        {
            if (_waiting.Add(key))
            {
                _ready.Writer.TryWrite(key);
            }
        }
    }

    /// <summary>Adds the key when the delay has passed; an earlier appointment for the same key stays.</summary>
    public void AddAfter(ObjectKey key, TimeSpan delay)
    {
        if (delay <= TimeSpan.Zero)
        {
            Add(key);
            return;
        }

        lock (_lock)
        {
            var due = time.GetUtcNow() + delay;
            if (_later.TryGetValue(key, out var appointment))
            {
                if (appointment.Due <= due)
                {
                    return;
                }

                appointment.Timer.Dispose();
            }

            _later[key] = (due, time.CreateTimer(_ => Ring(key), null, delay, Timeout.InfiniteTimeSpan));
        }
    }

    public async ValueTask<ObjectKey> TakeAsync(CancellationToken cancellation)
    {
        var key = await _ready.Reader.ReadAsync(cancellation);
        lock (_lock)
        {
            _waiting.Remove(key);
        }

        return key;
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (var (_, timer) in _later.Values)
            {
                timer.Dispose();
            }

            _later.Clear();
        }
    }

    private void Ring(ObjectKey key)
    {
        lock (_lock)
        {
            if (_later.Remove(key, out var appointment))
            {
                appointment.Timer.Dispose();
            }
        }

        Add(key);
    }
}
