using System.IO.Pipelines;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace Rehearsal.Cluster;

/// <summary>
/// A remote command over WebSocket (<c>v5.channel.k8s.io</c>, <c>v4.channel.k8s.io</c>): binary messages whose first byte is the
/// channel. 0 input, 1 output, 2 error output, 3 result, 4 terminal size, 255 end of a channel (v5 only).
/// </summary>
internal sealed class ChannelSession : IAsyncDisposable
{
    private const byte Input = 0;
    private const byte Output = 1;
    private const byte ErrorOutput = 2;
    private const byte Result = 3;
    private const byte Resize = 4;
    private const byte Close = 255;

    private static readonly string[] Protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

    private readonly WebSocket _socket;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly Pipe _input = new();
    private readonly Channel<TerminalSize> _sizes = System.Threading.Channels.Channel.CreateUnbounded<TerminalSize>();
    private readonly bool _hasInput;
    private readonly bool _hasOutput;
    private readonly bool _hasError;

    private ChannelSession(WebSocket socket, ApiRequest request)
    {
        _socket = socket;
        Tty = Flag(request, "tty");
        _hasInput = Flag(request, "stdin");
        _hasOutput = Flag(request, "stdout");
        _hasError = Flag(request, "stderr") && !Tty;
    }

    /// <summary>Runs the command on the node; the streams that were not asked for are null.</summary>
    public delegate Task<int> Command(
        Stream? input,
        Stream? output,
        Stream? error,
        IAsyncEnumerable<TerminalSize>? sizes,
        CancellationToken cancellation);

    public bool Tty { get; }

    /// <exception cref="ApiException">501 for SPDY, 400 for a WebSocket without a protocol this server speaks.</exception>
    public static async Task<ChannelSession> AcceptAsync(ApiRequest request)
    {
        var sockets = request.Context.WebSockets;
        if (!sockets.IsWebSocketRequest)
        {
            throw request.Context.Request.Headers.Upgrade.Count > 0
                ? ApiException.NotImplemented(
                    "exec and attach over SPDY; clients since 1.30 use WebSocket unless KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false")
                : ApiException.BadRequest("Upgrade request required");
        }

        var protocol = Protocols.FirstOrDefault(sockets.WebSocketRequestedProtocols.Contains)
            ?? throw ApiException.BadRequest(
                $"none of the offered WebSocket protocols is served; this server has {string.Join(", ", Protocols)}");
        return new ChannelSession(await sockets.AcceptWebSocketAsync(protocol), request);
    }

    public async Task RunAsync(Command command, CancellationToken aborted)
    {
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(aborted);

        // The clients wait for a first message on the output channel before they send anything.
        await SendAsync(_hasOutput ? Output : Result, default, gone.Token);
        var receiving = ReceiveAsync(gone);
        JsonObject result;
        try
        {
            var exitCode = await command(
                _hasInput ? _input.Reader.AsStream() : null,
                _hasOutput ? new ChannelStream(this, Output) : null,
                _hasError ? new ChannelStream(this, ErrorOutput) : null,
                Tty ? _sizes.Reader.ReadAllAsync(gone.Token) : null,
                gone.Token);
            result = exitCode == 0 ? new JsonObject { ["metadata"] = new JsonObject(), ["status"] = "Success" } : Failed(exitCode);
        }
        catch (OperationCanceledException) when (gone.IsCancellationRequested)
        {
            return;
        }
        catch (ApiException refused)
        {
            result = refused.ToStatus();
        }

        await SendAsync(Result, StoredJson.ToBytes(result), gone.Token);
        await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, gone.Token);
        await receiving;
    }

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        _sending.Dispose();
        return ValueTask.CompletedTask;
    }

    private static bool Flag(ApiRequest request, string name) => request[name] is "true" or "1";

    private static JsonObject Failed(int exitCode) => new()
    {
        ["metadata"] = new JsonObject(),
        ["status"] = "Failure",
        ["message"] = $"command terminated with non-zero exit code: exit status {exitCode}",
        ["reason"] = "NonZeroExitCode",
        ["details"] = new JsonObject
        {
            ["causes"] = new JsonArray(new JsonObject { ["reason"] = "ExitCode", ["message"] = $"{exitCode}" }),
        },
    };

    private async Task SendAsync(byte channel, ReadOnlyMemory<byte> data, CancellationToken cancellation)
    {
        var message = new byte[data.Length + 1];
        message[0] = channel;
        data.CopyTo(message.AsMemory(1));
        await _sending.WaitAsync(cancellation);
        try
        {
            await _socket.SendAsync(message, WebSocketMessageType.Binary, endOfMessage: true, cancellation);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>Takes the client's messages apart until it closes or goes away; only the latter cancels the command.</summary>
    private async Task ReceiveAsync(CancellationTokenSource gone)
    {
        using var message = new MemoryStream();
        var chunk = new byte[32 * 1024];
        try
        {
            while (true)
            {
                var received = await _socket.ReceiveAsync(chunk.AsMemory(), gone.Token);
                if (received.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                message.Write(chunk, 0, received.Count);
                if (!received.EndOfMessage)
                {
                    continue;
                }

                await TakeAsync(message.GetBuffer().AsMemory(0, (int)message.Length), gone.Token);
                message.SetLength(0);
            }
        }
        catch (Exception lost) when (lost is WebSocketException or OperationCanceledException or IOException)
        {
            // The connection is gone; below the command learns it.
        }

        await _input.Writer.CompleteAsync();
        _sizes.Writer.TryComplete();
        if (_socket.State is not WebSocketState.CloseSent)
        {
            await gone.CancelAsync();
        }
    }

    private async Task TakeAsync(ReadOnlyMemory<byte> message, CancellationToken cancellation)
    {
        if (message.IsEmpty)
        {
            return;
        }

        var data = message[1..];
        switch (message.Span[0])
        {
            case Input when !data.IsEmpty:
                await _input.Writer.WriteAsync(data, cancellation);
                break;
            case Close when data.Length == 1 && data.Span[0] == Input:
                await _input.Writer.CompleteAsync();
                break;
            case Resize:
                try
                {
                    if (JsonNode.Parse(Encoding.UTF8.GetString(data.Span)) is JsonObject size)
                    {
                        _sizes.Writer.TryWrite(new TerminalSize((int)(size.Number("Width") ?? 0), (int)(size.Number("Height") ?? 0)));
                    }
                }
                catch (JsonException)
                {
                    // A size that cannot be read changes nothing.
                }

                break;
        }
    }

    /// <summary>Writes to one channel.</summary>
    private sealed class ChannelStream(ChannelSession session, byte channel) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush()
        {
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) =>
            session.SendAsync(channel, buffer.AsMemory(offset, count), CancellationToken.None).GetAwaiter().GetResult();

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (!buffer.IsEmpty)
            {
                await session.SendAsync(channel, buffer, cancellationToken);
            }
        }
    }
}
