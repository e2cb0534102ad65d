using System.Net;
using Microsoft.Extensions.Time.Testing;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

/// <summary>
/// Two runs and the network between them and the cluster, driven message by message: a request is carried out when the script says so, which
/// may be long after its sender gave up, and its answer arrives when the script says so, or never.
/// </summary>
internal sealed class Interleaving : IAsyncDisposable
{
    private readonly FakeTimeProvider _world = new(new DateTimeOffset(2026, 11, 23, 12, 0, 0, TimeSpan.Zero));
    private readonly LeaseDouble _cluster = new();
    private readonly Side[] _sides;

    private Interleaving(TimeSpan skew, TimeSpan duration)
    {
        _sides = [new Side("alice", _cluster, _world, duration), new Side("bob", _cluster, _world, duration)];
        _sides[1].Run.Time.Skew = skew;
    }

    /// <summary>Plays a script; <c>Problem</c> is null where at no instant both believed.</summary>
    /// <param name="steps">What happens, and to whom or how much.</param>
    /// <returns>Also how often the lock was taken, and how often by another than before.</returns>
    public static async Task<(string? Problem, int Taken, int Changes)> RunAsync((int What, int How)[] steps, TimeSpan skew, TimeSpan duration)
    {
        await using var world = new Interleaving(skew, duration);
        var (taken, changes) = (0, 0);
        Side? holder = null;
        for (var step = 0; step < steps.Length; step++)
        {
            // For a while the network favours one of them, or the other would never be late enough to lose the lock.
            var (what, how) = steps[step];
            world.Do(what, how, world._sides[(step / 40 % 2) ^ (how == 0 ? 1 : 0)], duration);
            await Settling.SettleAsync();

            var believing = world._sides.Where(s => s.Run.Lock.IsHeld).ToList();
            if (believing.Count == 2)
            {
                return ("both believe that they hold the lock", taken, changes);
            }

            if (believing is [var now] && !now.Believed)
            {
                taken++;
                changes += holder is not null && holder != now ? 1 : 0;
                holder = now;
            }

            foreach (var each in world._sides)
            {
                each.Believed = each.Run.Lock.IsHeld;
            }
        }

        return (null, taken, changes);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var side in _sides)
        {
            side.Wire.Close();
        }

        var ended = Task.WhenAll(_sides.SelectMany(s => s.Doing));
        while (!ended.IsCompleted)
        {
            _world.Advance(TimeSpan.FromSeconds(1));
            await Settling.SettleAsync();
        }

        foreach (var side in _sides)
        {
            await side.DisposeAsync();
        }

        _cluster.Dispose();
    }

    private void Do(int what, int how, Side side, TimeSpan duration)
    {
        switch (what)
        {
            case < 20:
                side.Wire.Pass(how);
                break;
            case < 45:
                side.Wire.PassAll();
                break;
            case < 48:
                side.Wire.Cut(how);
                break;
            case < 78:
                _world.Advance(how < 3 ? TimeSpan.FromMilliseconds(100) : how < 9 ? duration / 12 : duration);
                break;
            case < 92:
                side.Try(run => run.Lock.AcquireAsync("v1", "TagRelease", null, default));
                break;
            case < 95:
                side.Try(run => run.Lock.IsHeld ? run.Lock.AtAsync("FlipDns", default) : Task.CompletedTask);
                break;
            case < 98:
                side.Try(run => run.Lock.IsHeld ? run.Lock.RequireAsync(default) : Task.CompletedTask);
                break;
            default:
                side.Try(run => run.Lock.ReleaseAsync(default));
                break;
        }

        // A lost lock stays lost; the next run of that person is a new one.
        side.ReplaceIfLost();
    }

    /// <summary>One person's runs, one after the other, over one network.</summary>
    private sealed class Side : IAsyncDisposable
    {
        private readonly Func<Contender> _begin;
        private readonly List<Contender> _earlier = [];
        private readonly List<Task> _before = [];
        private Task _doing = Task.CompletedTask;

        public Side(string name, LeaseDouble cluster, FakeTimeProvider world, TimeSpan duration)
        {
            Wire = new Wire(cluster);
            _begin = () => new Contender(Wire, world, name, duration);
            Run = _begin();
        }

        public Wire Wire { get; }

        public Contender Run { get; private set; }

        public bool Believed { get; set; }

        public IEnumerable<Task> Doing => _before.Append(_doing);

        public void Try(Func<Contender, Task> what)
        {
            if (_doing.IsCompleted)
            {
                _doing = SwallowAsync(what(Run));
            }
        }

        public void ReplaceIfLost()
        {
            if (Run.Lock.Lost.IsCancellationRequested)
            {
                var skew = Run.Time.Skew;
                _earlier.Add(Run);
                _before.Add(_doing);
                (Run, _doing) = (_begin(), Task.CompletedTask);
                Run.Time.Skew = skew;
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Task.WhenAll(Doing);
            foreach (var run in _earlier.Append(Run))
            {
                await run.DisposeAsync();
            }

            Wire.Dispose();
        }

        private static async Task SwallowAsync(Task task)
        {
            try
            {
                await task;
            }
            catch (RolloutException)
            {
                // A refusal is one of the right answers.
            }
        }
    }

    private sealed class Message(string method, string path, string body)
    {
        private HttpResponseMessage? _answer;

        public TaskCompletionSource<HttpResponseMessage> Sender { get; } = new();

        /// <summary>First the cluster acts on it, then its answer arrives. True when nothing is left to pass.</summary>
        public bool Pass(LeaseDouble cluster)
        {
            if (_answer is null)
            {
                _answer = LeaseDouble.Message(cluster.Answer(method, path, body));
                return Sender.Task.IsCompleted;
            }

            Sender.TrySetResult(_answer);
            return true;
        }
    }

    private sealed class Wire(LeaseDouble cluster) : HttpMessageHandler
    {
        private readonly List<Message> _under = [];
        private bool _closed;

        public void Pass(int which)
        {
            if (Pick(which) is { } message && message.Pass(cluster))
            {
                lock (_under)
                {
                    _under.Remove(message);
                }
            }
        }

        /// <summary>The network is quick for once.</summary>
        public void PassAll()
        {
            for (var i = 0; i < 8; i++)
            {
                Pass(0);
            }
        }

        /// <summary>The connection breaks; the request may still be carried out, or has been.</summary>
        public void Cut(int which) => Pick(which)?.Sender.TrySetException(new HttpRequestException("connection reset by peer"));

        /// <summary>Whoever waits is let go, and nobody waits any more.</summary>
        public void Close()
        {
            List<Message> waiting;
            lock (_under)
            {
                _closed = true;
                waiting = [.. _under];
            }

            foreach (var message in waiting)
            {
                message.Sender.TrySetResult(Forbidden());
            }
        }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var body = request.Content is null ? string.Empty : await request.Content.ReadAsStringAsync(cancellationToken);
            var message = new Message(request.Method.Method, request.RequestUri!.AbsolutePath, body);
            lock (_under)
            {
                if (_closed)
                {
                    return Forbidden();
                }

                _under.Add(message);
            }

            using var given = cancellationToken.Register(() => message.Sender.TrySetCanceled(cancellationToken));
            return await message.Sender.Task;
        }

        private Message? Pick(int which)
        {
            lock (_under)
            {
                return _under.Count == 0 ? null : _under[which % _under.Count];
            }
        }

        private static HttpResponseMessage Forbidden() => new(HttpStatusCode.Forbidden) { Content = new StringContent("{}") };
    }
}
