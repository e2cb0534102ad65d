using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Rehearsal.Aether.Http;

/// <summary>
/// One Kestrel for any number of listening sockets. A hundred pods would otherwise cost a hundred servers, each with its
/// own timer thread and start-up; here a pod costs one socket.
/// </summary>
internal sealed class HttpHub : IAsyncDisposable
{
    private readonly KestrelServer _server;
    private readonly FanIn _connections = new();
    private readonly SocketConnectionContextFactory _sockets;
    private readonly TimeProvider _time;

    private HttpHub(TimeProvider time)
    {
        _time = time;
        _sockets = new SocketConnectionContextFactory(new SocketConnectionFactoryOptions(), NullLogger.Instance);
        var options = new KestrelServerOptions { AddServerHeader = false };
        options.Limits.MinRequestBodyDataRate = null;
        options.Limits.MinResponseDataRate = null;
        options.Listen(new IPEndPoint(IPAddress.Loopback, 0), listen => listen.Protocols = HttpProtocols.Http1);
        _server = new KestrelServer(Options.Create(options), _connections, NullLoggerFactory.Instance);
    }

    public static async Task<HttpHub> StartAsync(TimeProvider time, CancellationToken ct)
    {
        var hub = new HttpHub(time);
        await hub._server.StartAsync(new Application(), ct);
        return hub;
    }

    /// <summary>Listens on <paramref name="address"/> (port 0: any free one) until the binding is disposed.</summary>
    /// <exception cref="SocketException">The address is taken or not ours.</exception>
    public HttpBinding Bind(IPEndPoint address, Func<HttpContext, Task> handler)
    {
        var listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            listener.Bind(address);
            listener.Listen(512);
        }
        catch
        {
            listener.Dispose();
            throw;
        }

        return new HttpBinding(listener, handler, _sockets, _connections, _time);
    }

    public async ValueTask DisposeAsync()
    {
        using var grace = new CancellationTokenSource(TimeSpan.FromSeconds(1), _time);
        _connections.Complete();
        await _server.StopAsync(grace.Token);
        _server.Dispose();
        _sockets.Dispose();
    }

    private sealed class Application : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

        public async Task ProcessRequestAsync(HttpContext context)
        {
            // A feature of the connection: Kestrel looks there for what the request itself does not have.
            var binding = context.Features.Get<HttpBinding>()
                ?? throw new InvalidOperationException("a connection that belongs to no binding");
            await binding.HandleAsync(context);
        }

        public void DisposeContext(HttpContext context, Exception? exception)
        {
        }
    }

    /// <summary>What Kestrel takes for its only listener: the accepted connections of all bindings.</summary>
    internal sealed class FanIn : IConnectionListenerFactory, IConnectionListener
    {
        private readonly Channel<ConnectionContext> _accepted = Channel.CreateUnbounded<ConnectionContext>();

        public EndPoint EndPoint { get; private set; } = new IPEndPoint(IPAddress.Loopback, 0);

        public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
        {
            EndPoint = endpoint;
            return ValueTask.FromResult<IConnectionListener>(this);
        }

        public bool Offer(ConnectionContext connection) => _accepted.Writer.TryWrite(connection);

        public void Complete() => _accepted.Writer.TryComplete();

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (await _accepted.Reader.WaitToReadAsync(cancellationToken))
            {
                if (_accepted.Reader.TryRead(out var connection))
                {
                    return connection;
                }
            }

            return null;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            Complete();
            return ValueTask.CompletedTask;
        }

        public ValueTask DisposeAsync()
        {
            Complete();
            return ValueTask.CompletedTask;
        }
    }
}

/// <summary>One listening socket of an <see cref="HttpHub"/>; disposing it closes the socket and its connections.</summary>
internal sealed class HttpBinding : IAsyncDisposable
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    private readonly Socket _listener;
    private readonly Func<HttpContext, Task> _handler;
    private readonly SocketConnectionContextFactory _sockets;
    private readonly HttpHub.FanIn _fanIn;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<ConnectionContext, byte> _open = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _accepting;

    // Requests in flight, plus one until the binding is disposed.
    private int _active = 1;
    private int _disposed;

    public HttpBinding(
        Socket listener, Func<HttpContext, Task> handler, SocketConnectionContextFactory sockets, HttpHub.FanIn fanIn, TimeProvider time)
    {
        _listener = listener;
        _handler = handler;
        _sockets = sockets;
        _fanIn = fanIn;
        _time = time;
        EndPoint = (IPEndPoint)listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    public IPEndPoint EndPoint { get; }

    public async Task HandleAsync(HttpContext context)
    {
        Interlocked.Increment(ref _active);
        try
        {
            await _handler(context);
        }
        finally
        {
            Release();
        }
    }

    /// <summary>Stops listening, lets requests in flight finish for up to a second, then closes their connections.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await _stop.CancelAsync();
        _listener.Dispose();
        await _accepting;
        Release();
        await Task.WhenAny(_idle.Task, Task.Delay(Grace, _time));
        foreach (var connection in _open.Keys)
        {
            connection.Abort();
        }

        _stop.Dispose();
    }

    private void Release()
    {
        if (Interlocked.Decrement(ref _active) == 0)
        {
            _idle.TrySetResult();
        }
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket socket;
            try
            {
                socket = await _listener.AcceptAsync(_stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (SocketException)
            {
                // The client was gone before it was accepted.
                continue;
            }

            socket.NoDelay = true;
            var connection = _sockets.Create(socket);
            connection.Features.Set(this);
            _open[connection] = 0;
            connection.ConnectionClosed.Register(() => _open.TryRemove(connection, out _));
            if (!_fanIn.Offer(connection))
            {
                connection.Abort();
            }
        }
    }
}
