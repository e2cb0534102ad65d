using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using ARSoft.Tools.Net;
using ARSoft.Tools.Net.Dns;
using ARSoft.Tools.Net.Dns.DynamicUpdate;
using Client = ARSoft.Tools.Net.Dns.DnsClient;

namespace Rollout.Traffic;

/// <summary>A key that a name server and we share (RFC 8945).</summary>
/// <param name="Name">Its name as the server's configuration has it, lower case, without a final dot.</param>
/// <param name="Algorithm">What is signed with it.</param>
/// <param name="Secret">In base64.</param>
internal sealed record TsigKey(string Name, TSigAlgorithm Algorithm, Secret Secret)
{
    // Longer than a slow link takes, and what servers allow by default (RFC 8945, section 10).
    private static readonly TimeSpan Fudge = TimeSpan.FromMinutes(5);

    /// <summary>What a message carries to be signed as it is sent.</summary>
    public TSigRecord Signature(DnsMessageBase message, DateTimeOffset now) => new(
        DomainName.Parse(Name),
        Algorithm,
        now.UtcDateTime,
        Fudge,
        message.TransactionID,
        ReturnCode.NoError,
        null,
        Convert.FromBase64String(Secret.Reveal()));

    /// <summary>
    /// Whether an answer was signed with this key. The library checks the hash, but takes whatever algorithm and length the answer names
    /// for it, down to half a hash.
    /// </summary>
    public bool HasSigned(TSigRecord? signature) =>
        signature is not null
        && Plain(signature.Name) == Name
        && signature.Algorithm == Algorithm
        && signature.Mac.Length == Algorithm switch { TSigAlgorithm.Sha1 => 20, TSigAlgorithm.Sha256 => 32, _ => 64 }
        && (signature.ValidationResult == ReturnCode.NoError
            || (signature.ValidationResult == ReturnCode.BadTime && signature.Error == ReturnCode.BadTime));

    /// <summary>A name as the rest of the program writes it.</summary>
    public static string Plain(DomainName name) => name.ToString().TrimEnd('.').ToLowerInvariant();
}

/// <summary>What a name server answered.</summary>
/// <param name="Message">The answer; null where none came.</param>
/// <param name="Code">Its code, the signature's (BADKEY, BADSIG, BADTIME) before the message's.</param>
/// <param name="IsSigned">It was signed with our key, and nobody changed it on the way.</param>
/// <param name="Silence">Why there is no answer, in words.</param>
/// <param name="ServerTime">The server's clock where it complains about ours.</param>
internal sealed record Reply<T>(T? Message, ReturnCode Code, bool IsSigned, string? Silence, DateTimeOffset? ServerTime)
    where T : DnsMessageBase;

/// <summary>
/// One TCP connection to a name server, over which messages are signed and their answers' signatures checked (RFC 8945); opened when
/// first needed, and anew after a failure. For one caller at a time.
/// </summary>
internal sealed class TsigConnection : IDisposable
{
    /// <summary>How long an answer may take, connecting included.</summary>
    public static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(10);

    private readonly TsigKey _key;
    private readonly TimeProvider _time;
    private readonly Wire _wire;
    private readonly Client _client;

    /// <param name="server">An address, or a name whose addresses are tried in turn.</param>
    /// <param name="key">Signs the messages.</param>
    /// <param name="time">The clock that signatures carry, and that ends the waiting for an answer.</param>
    public TsigConnection(EndPoint server, TsigKey key, TimeProvider time)
    {
        _key = key;
        _time = time;
        _wire = new Wire(server);

        // The wire knows the server; of addresses given here the library drops IPv6 ones where it thinks that the machine has no IPv6.
        _client = new Client([IPAddress.Loopback], [_wire]);
    }

    /// <summary>Asks for one type of records at a name, recursion off.</summary>
    public Task<Reply<DnsMessage>> AskAsync(string name, RecordType type, bool signed, CancellationToken cancellationToken)
    {
        var question = new DnsMessage { Questions = { new DnsQuestion(DomainName.Parse(name), type, RecordClass.INet) } };
        return ExchangeAsync(question, signed, token => _client.SendMessageAsync(question, token), cancellationToken);
    }

    /// <summary>Sends an update, once.</summary>
    public Task<Reply<DnsUpdateMessage>> UpdateAsync(DnsUpdateMessage update, CancellationToken cancellationToken) =>
        ExchangeAsync(update, signed: true, token => _client.SendUpdateAsync(update, token), cancellationToken);

    public void Dispose()
    {
        _wire.Close();
        ((IDisposable)_client).Dispose();
    }

    private async Task<Reply<T>> ExchangeAsync<T>(T message, bool signed, Func<CancellationToken, Task<T?>> send, CancellationToken cancellationToken)
        where T : DnsMessageBase
    {
        cancellationToken.ThrowIfCancellationRequested();
        message.TSigOptions = signed ? _key.Signature(message, _time.GetUtcNow()) : null;
        _wire.Trouble = null;
        using var deadline = new CancellationTokenSource(AnswerTime, _time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        var answer = await send(stop.Token);
        cancellationToken.ThrowIfCancellationRequested();
        if (answer is null)
        {
            _wire.Close();
            var silence = deadline.IsCancellationRequested
                ? $"nothing within {AnswerTime.TotalSeconds:0} s"
                : _wire.Trouble ?? "something that is not a DNS message";
            return new Reply<T>(null, ReturnCode.ServerFailure, false, silence, null);
        }

        var signature = answer.TSigOptions;
        var code = signature?.Error is { } error and not ReturnCode.NoError ? error : answer.ReturnCode;
        return new Reply<T>(answer, code, _key.HasSigned(signature), null, ServerTime(signature));
    }

    // RFC 8945, section 5.2.3: six bytes of seconds.
    private static DateTimeOffset? ServerTime(TSigRecord? signature) => signature is { Error: ReturnCode.BadTime, OtherData.Length: 6 }
        ? DateTimeOffset.FromUnixTimeSeconds(
            ((long)BinaryPrimitives.ReadUInt16BigEndian(signature.OtherData) << 32) + BinaryPrimitives.ReadUInt32BigEndian(signature.OtherData.AsSpan(2)))
        : null;

    /// <summary>
    /// The library's own transport says of every failure only that there was one, sends a message again by itself, and waits by the
    /// machine's clock.
    /// </summary>
    private sealed class Wire(EndPoint server) : IClientTransport, IClientConnection
    {
        private Socket? _socket;

        /// <summary>What went wrong since it was cleared, in words.</summary>
        public string? Trouble { get; set; }

        public ushort MaximumAllowedQuerySize => ushort.MaxValue;

        public bool SupportsReliableTransfer => true;

        public bool SupportsMulticastTransfer => false;

        public bool SupportsPooledConnections => false;

        public IClientTransport Transport => this;

        public bool IsFaulty => _socket is null;

        public async Task<IClientConnection?> ConnectAsync(DnsClientEndpointInfo endpointInfo, int queryTimeout, CancellationToken token)
        {
            if (_socket is not null)
            {
                return this;
            }

            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            if (await SucceedsAsync(() => socket.ConnectAsync(server, token).AsTask()))
            {
                socket.NoDelay = true;
                _socket = socket;
                return this;
            }

            socket.Dispose();
            return null;
        }

        public Task<IClientConnection?> GetPooledConnectionAsync(DnsClientEndpointInfo endpointInfo, CancellationToken token) =>
            Task.FromResult<IClientConnection?>(null);

        public Task<bool> SendAsync(DnsRawPackage package, CancellationToken token) => SucceedsAsync(async () =>
        {
            ReadOnlyMemory<byte> rest = package.ToArraySegment(includeLengthHeader: true);
            while (rest.Length > 0)
            {
                rest = rest[await _socket!.SendAsync(rest, token)..];
            }
        });

        public async Task<DnsReceivedRawPackage?> ReceiveAsync(DnsMessageIdentification identification, CancellationToken token)
        {
            const int header = 12;
            DnsReceivedRawPackage? package = null;
            var received = await SucceedsAsync(async () =>
            {
                do
                {
                    var length = new byte[2];
                    await FillAsync(length, token);
                    var message = new byte[2 + BinaryPrimitives.ReadUInt16BigEndian(length)];
                    length.CopyTo(message, 0);
                    await FillAsync(message.AsMemory(2), token);
                    package = message.Length < 2 + header
                        ? null
                        : new DnsReceivedRawPackage(message, (IPEndPoint)_socket!.RemoteEndPoint!, (IPEndPoint)_socket.LocalEndPoint!);
                }
                while (package is not null && package.MessageIdentification.TransactionID != identification.TransactionID);
            });
            return received ? package : null;
        }

        public void RestartIdleTimeout(TimeSpan? timeout)
        {
            // There is none: a connection lives as long as its few questions.
        }

        public void MarkFaulty() => Close();

        public void Close()
        {
            _socket?.Dispose();
            _socket = null;
        }

        // The library disposes what it was given after every message.
        void IDisposable.Dispose()
        {
        }

        private async Task FillAsync(Memory<byte> buffer, CancellationToken token)
        {
            while (buffer.Length > 0)
            {
                var read = await _socket!.ReceiveAsync(buffer, token);
                buffer = read > 0 ? buffer[read..] : throw new EndOfStreamException();
            }
        }

        private async Task<bool> SucceedsAsync(Func<Task> act)
        {
            try
            {
                await act();
                return true;
            }
            catch (Exception exception) when (exception is SocketException or OperationCanceledException or EndOfStreamException)
            {
                Trouble = exception switch
                {
                    SocketException => exception.Message,
                    EndOfStreamException => "it hung up",
                    _ => "nothing in time",
                };
                return false;
            }
        }
    }
}
