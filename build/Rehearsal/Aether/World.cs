using System.Collections.Concurrent;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;
using Rehearsal.Aether.Services;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether;

/// <summary>What a process finds around it: the clock, connections, its neighbours in the namespace.</summary>
internal sealed class World : IAsyncDisposable
{
    private static readonly TimeSpan TricklePeriod = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<ServiceProcess, byte> _running = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _trickling;

    public World(AetherStandInOptions options, HttpHub hub)
    {
        Fault = options.Fault;
        Time = options.Time;
        Exchange = options.Exchange;
        Effect = options.Effect;
        Hub = hub;
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false, UseCookies = false, ActivityHeadersPropagator = null })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        Spans = new SpanExporter(Http, Time);
        _trickling = TrickleAsync();
    }

    public Func<string, string?> Fault { get; }

    public TimeProvider Time { get; }

    public Uri? Exchange { get; }

    public Action<string> Effect { get; }

    public HttpHub Hub { get; }

    public HttpClient Http { get; }

    public SpanExporter Spans { get; }

    public DatabasePool Databases { get; } = new();

    public RedisPool Redis { get; } = new();

    public void Enter(ServiceProcess process) => _running[process] = 0;

    public void Leave(ServiceProcess process) => _running.TryRemove(process, out _);

    /// <summary>Where the pods of a workload listen in a namespace: the cluster DNS of this world.</summary>
    public IReadOnlyList<Uri> Addresses(string @namespace, string workload) =>
    [
        .. _running.Keys.Where(process => process.Pod.Workload == workload && process.Pod.Start.Namespace == @namespace)
            .OrderBy(process => process.Pod.Start.PodName, StringComparer.Ordinal).Select(process => process.Address),
    ];

    /// <summary>The first of them, or null while none listens.</summary>
    public Uri? Address(string @namespace, string workload) => Addresses(@namespace, workload) is [var first, ..] ? first : null;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _trickling;
        await Spans.DisposeAsync();
        await Hub.DisposeAsync();
        await Databases.DisposeAsync();
        await Redis.DisposeAsync();
        Http.Dispose();
        _stop.Dispose();
    }

    private async Task TrickleAsync()
    {
        using var timer = new PeriodicTimer(TricklePeriod, Time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                foreach (var process in _running.Keys)
                {
                    process.Trickle();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The world ends.
        }
    }
}
