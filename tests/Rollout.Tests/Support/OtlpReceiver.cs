using System.Buffers.Binary;
using System.Text;

namespace Rollout.Tests.Support;

/// <summary>One span as it came over the wire; identifiers in hexadecimal, attributes as text.</summary>
internal sealed record ReceivedSpan(
    string TraceId, string SpanId, string ParentId, string Name, int Status, IReadOnlyDictionary<string, string> Attributes, IReadOnlyList<string> LinkedTraces, IReadOnlyDictionary<string, string> Resource);

/// <summary>A collector that takes OTLP over HTTP in protobuf form and reads it with a reader of its own.</summary>
internal sealed class OtlpReceiver : IAsyncDisposable
{
    private HttpDouble _http = null!;

    public Uri Address => _http.Address;

    public IReadOnlyCollection<Seen> Requests => _http.Requests;

    /// <summary>Everything that was received, in the order of arrival.</summary>
    public IReadOnlyList<ReceivedSpan> Spans => [.. _http.Requests.SelectMany(r => Read(r.Body))];

    public static async Task<OtlpReceiver> StartAsync(int code = 200) =>
        new() { _http = await HttpDouble.StartAsync(_ => new Reply(code, string.Empty, "application/x-protobuf")) };

    public ValueTask DisposeAsync() => _http.DisposeAsync();

    private static IEnumerable<ReceivedSpan> Read(byte[] request)
    {
        foreach (var resourceSpans in Messages(request, 1))
        {
            var resource = Messages(resourceSpans, 1).SelectMany(r => Attributes(r, 1)).ToDictionary(a => a.Key, a => a.Value);
            foreach (var span in Messages(resourceSpans, 2).SelectMany(scope => Messages(scope, 2)))
            {
                yield return new ReceivedSpan(
                    Hex(span, 1),
                    Hex(span, 2),
                    Hex(span, 4),
                    Texts(span, 5).First(),
                    (int)Messages(span, 15).SelectMany(s => Numbers(s, 3)).FirstOrDefault(),
                    Attributes(span, 9).ToDictionary(a => a.Key, a => a.Value),
                    [.. Messages(span, 13).Select(l => Hex(l, 1))],
                    resource);
            }
        }
    }

    private static IEnumerable<KeyValuePair<string, string>> Attributes(byte[] message, int field) => Messages(message, field)
        .Select(pair => KeyValuePair.Create(
            Texts(pair, 1).First(),
            Messages(pair, 2).Select(v => Texts(v, 1).Concat(Numbers(v, 3).Select(n => $"{n}")).Concat(Numbers(v, 2).Select(n => n == 0 ? "false" : "true")).FirstOrDefault()).FirstOrDefault() ?? string.Empty));

    private static string Hex(byte[] message, int field) => Messages(message, field).Select(Convert.ToHexStringLower).FirstOrDefault() ?? string.Empty;

    private static IEnumerable<string> Texts(byte[] message, int field) => Messages(message, field).Select(Encoding.UTF8.GetString);

    private static IEnumerable<byte[]> Messages(byte[] message, int field) => Fields(message).Where(f => f.Field == field && f.Bytes is not null).Select(f => f.Bytes!);

    private static IEnumerable<ulong> Numbers(byte[] message, int field) => Fields(message).Where(f => f.Field == field && f.Bytes is null).Select(f => f.Number);

    private static IEnumerable<(int Field, ulong Number, byte[]? Bytes)> Fields(byte[] message)
    {
        for (var at = 0; at < message.Length;)
        {
            var key = Varint(message, ref at);
            var field = (int)(key >> 3);
            switch (key & 7)
            {
                case 0:
                    yield return (field, Varint(message, ref at), null);
                    break;
                case 1:
                    yield return (field, BinaryPrimitives.ReadUInt64LittleEndian(message.AsSpan(at)), null);
                    at += 8;
                    break;
                case 2:
                    var length = (int)Varint(message, ref at);
                    yield return (field, 0, message[at..(at + length)]);
                    at += length;
                    break;
                case 5:
                    yield return (field, BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(at)), null);
                    at += 4;
                    break;
                default:
                    throw new FormatException($"wire type {key & 7}");
            }
        }
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var part = message[at++];
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
            {
                return value;
            }
        }
    }
}
