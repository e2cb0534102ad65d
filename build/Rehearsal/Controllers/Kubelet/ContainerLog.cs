using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>What one run of a container printed: its last ten thousand lines, and whoever follows.</summary>
internal sealed class ContainerLog(TimeProvider time)
{
    private const int Kept = 10_000;

    private readonly Lock _lock = new();
    private readonly Queue<LogLine> _lines = new();
    private readonly List<Channel<LogLine>> _followers = [];
    private bool _ended;

    public void Write(string text)
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            foreach (var line in text.TrimEnd('\n').Split('\n'))
            {
                var entry = new LogLine(now, line.TrimEnd('\r'));
                _lines.Enqueue(entry);
                if (_lines.Count > Kept)
                {
                    _lines.Dequeue();
                }

                foreach (var follower in _followers)
                {
                    follower.Writer.TryWrite(entry);
                }
            }
        }
    }

    /// <summary>The container has ended; followers come to their end.</summary>
    public void End()
    {
        lock (_lock)
        {
            _ended = true;
            foreach (var follower in _followers)
            {
                follower.Writer.TryComplete();
            }

            _followers.Clear();
        }
    }

    public PodLog Read(bool follow)
    {
        lock (_lock)
        {
            if (!follow)
            {
                return new PodLog([.. _lines]);
            }

            var channel = Channel.CreateUnbounded<LogLine>(new UnboundedChannelOptions { SingleReader = true });
            if (_ended)
            {
                channel.Writer.Complete();
            }
            else
            {
                _followers.Add(channel);
            }

            return new PodLog([.. _lines], FollowAsync(channel));
        }
    }

    private async IAsyncEnumerable<LogLine> FollowAsync(
        Channel<LogLine> channel, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        try
        {
            await foreach (var line in channel.Reader.ReadAllAsync(cancellation))
            {
                yield return line;
            }
        }
        finally
        {
            lock (_lock)
            {
                _followers.Remove(channel);
            }
        }
    }
}
