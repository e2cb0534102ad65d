using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// One span as received: identifiers in lower-case hex, attributes by name with string, long, double or bool values. Status is
/// <c>unset</c>, <c>ok</c> or <c>error</c>; start and end are nanoseconds since 1970.
/// </summary>
internal sealed record OtlpSpan(
    string TraceId,
    string SpanId,
    string ParentId,
    string Name,
    int Kind,
    ulong Start,
    ulong End,
    string Status,
    IReadOnlyDictionary<string, object> Attributes,
    IReadOnlyDictionary<string, object> Resource)
{
    public string Service => Resource.TryGetValue("service.name", out var name) ? Text(name) : "unknown_service";

    public string KindName => Kind switch
    {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    };

    public TimeSpan Duration => TimeSpan.FromTicks((long)((End - Math.Min(Start, End)) / 100));

    public static string Text(object value)
    {
        return value is bool truth ? (truth ? "true" : "false") : Convert.ToString(value, CultureInfo.InvariantCulture)!;
    }

    /// <summary>Reads an ExportTraceServiceRequest in OTLP's JSON form: hex identifiers, 64-bit numbers as strings or numbers.</summary>
    /// <exception cref="FormatException">Not of that form.</exception>
    public static List<OtlpSpan> FromJson(JsonObject request)
    {
        try
        {
            return
            [
                .. from resource in List(request["resourceSpans"])
                   let owner = ReadAttributes(resource["resource"]?["attributes"])
                   from scope in List(resource["scopeSpans"])
                   from span in List(scope["spans"])
                   select new OtlpSpan(
                       Id(span["traceId"], 32),
                       Id(span["spanId"], 16),
                       Id(span["parentSpanId"], 16),
                       (string?)span["name"] ?? "",
                       Number(span["kind"]),
                       Nanoseconds(span["startTimeUnixNano"]),
                       Nanoseconds(span["endTimeUnixNano"]),
                       StatusName(Number(span["status"]?["code"])),
                       ReadAttributes(span["attributes"]),
                       owner),
            ];
        }
        catch (InvalidOperationException wrongKind)
        {
            throw new FormatException("The request is no OTLP trace export.", wrongKind);
        }
    }

    /// <summary>Reads the same request in protobuf (opentelemetry-proto, <c>trace/v1/trace.proto</c>).</summary>
    /// <exception cref="FormatException">The message ends in the middle of a field.</exception>
    public static List<OtlpSpan> FromProtobuf(ReadOnlyMemory<byte> request)
    {
        var spans = new List<OtlpSpan>();
        foreach (var resourceSpans in Protobuf.Fields(request).Where(field => field.Number == 1))
        {
            var fields = Protobuf.Fields(resourceSpans.Bytes);
            var owner = fields.Where(field => field.Number == 1)
                .SelectMany(resource => ProtobufAttributes(resource.Bytes, 1))
                .ToDictionary(entry => entry.Key, entry => entry.Value);
            foreach (var scope in fields.Where(field => field.Number == 2))
            {
                spans.AddRange(Protobuf.Fields(scope.Bytes).Where(field => field.Number == 2).Select(span => ProtobufSpan(
                    span.Bytes, owner)));
            }
        }

        return spans;
    }

    /// <summary>The span as Tempo's JSON has it: identifiers in Base64, as protobuf's JSON mapping writes bytes.</summary>
    public JsonObject ToTempoJson()
    {
        return new JsonObject
        {
            ["traceId"] = Convert.ToBase64String(Convert.FromHexString(TraceId)),
            ["spanId"] = Convert.ToBase64String(Convert.FromHexString(SpanId)),
            ["parentSpanId"] = Convert.ToBase64String(Convert.FromHexString(ParentId)),
            ["name"] = Name,
            ["kind"] = "SPAN_KIND_" + KindName.ToUpperInvariant(),
            ["startTimeUnixNano"] = Start.ToString(CultureInfo.InvariantCulture),
            ["endTimeUnixNano"] = End.ToString(CultureInfo.InvariantCulture),
            ["attributes"] = AttributesJson(Attributes),
            ["status"] = Status switch
            {
                "error" => new JsonObject { ["code"] = "STATUS_CODE_ERROR" },
                "ok" => new JsonObject { ["code"] = "STATUS_CODE_OK" },
                _ => new JsonObject(),
            },
        };
    }

    public static JsonArray AttributesJson(IReadOnlyDictionary<string, object> attributes)
    {
        return new JsonArray(
        [
            .. attributes.Select(entry => new JsonObject
            {
                ["key"] = entry.Key,
                ["value"] = entry.Value switch
                {
                    long number => new JsonObject { ["intValue"] = number.ToString(CultureInfo.InvariantCulture) },
                    double number => new JsonObject { ["doubleValue"] = number },
                    bool truth => new JsonObject { ["boolValue"] = truth },
                    _ => new JsonObject { ["stringValue"] = (string)entry.Value },
                },
            }),
        ]);
    }

    private static IEnumerable<JsonNode> List(JsonNode? node)
    {
        return (node?.AsArray() ?? []).OfType<JsonNode>();
    }

    private static string Id(JsonNode? node, int length)
    {
        var id = ((string?)node ?? "").ToLowerInvariant();
        return id.Length == 0 ? ""
            : id.Length == length && id.All(char.IsAsciiHexDigit) ? id
            : throw new FormatException($"An identifier of {length} hex digits was expected, not '{id}'.");
    }

    private static int Number(JsonNode? node)
    {
        return (int)Nanoseconds(node);
    }

    private static ulong Nanoseconds(JsonNode? node)
    {
        return node is null ? 0 : ulong.Parse(node.ToString(), CultureInfo.InvariantCulture);
    }

    private static string StatusName(int code)
    {
        return code switch { 1 => "ok", 2 => "error", _ => "unset" };
    }

    private static Dictionary<string, object> ReadAttributes(JsonNode? list)
    {
        var attributes = new Dictionary<string, object>(StringComparer.Ordinal);
        foreach (var entry in List(list))
        {
            var value = entry["value"];
            attributes[(string)entry["key"]!] =
                value?["intValue"] is { } number ? long.Parse(number.ToString(), CultureInfo.InvariantCulture)
                : value?["doubleValue"] is { } real ? (double)real
                : value?["boolValue"] is { } truth ? (bool)truth
                : value?["stringValue"] is { } text ? (string)text!
                : value?.ToJsonString() ?? "";
        }

        return attributes;
    }

    private static OtlpSpan ProtobufSpan(ReadOnlyMemory<byte> message, IReadOnlyDictionary<string, object> owner)
    {
        var fields = Protobuf.Fields(message).ToLookup(field => field.Number);
        string Hex(int number) => fields[number].Select(field => Convert.ToHexStringLower(field.Bytes.Span)).FirstOrDefault("");
        ulong Value(int number) => fields[number].Select(field => field.Value).FirstOrDefault();
        var status = fields[15]
            .SelectMany(field => Protobuf.Fields(field.Bytes))
            .Where(field => field.Number == 3)
            .Select(field => (int)field.Value)
            .FirstOrDefault();
        return new OtlpSpan(
            Hex(1),
            Hex(2),
            Hex(4),
            fields[5].Select(field => Encoding.UTF8.GetString(field.Bytes.Span)).FirstOrDefault(""),
            (int)Value(6),
            Value(7),
            Value(8),
            StatusName(status),
            ProtobufAttributes(message, 9).ToDictionary(entry => entry.Key, entry => entry.Value),
            owner);
    }

    private static IEnumerable<KeyValuePair<string, object>> ProtobufAttributes(ReadOnlyMemory<byte> message, int number)
    {
        foreach (var entry in Protobuf.Fields(message).Where(field => field.Number == number))
        {
            var pair = Protobuf.Fields(entry.Bytes);
            var key = pair.Where(field => field.Number == 1).Select(field => Encoding.UTF8.GetString(field.Bytes.Span)).FirstOrDefault("");
            var any = pair.Where(field => field.Number == 2).SelectMany(field => Protobuf.Fields(field.Bytes)).FirstOrDefault();
            yield return KeyValuePair.Create(key, any.Number switch
            {
                2 => any.Value != 0,
                3 => (object)(long)any.Value,
                4 => BitConverter.UInt64BitsToDouble(any.Value),
                1 => Encoding.UTF8.GetString(any.Bytes.Span),
                _ => "",
            });
        }
    }

    /// <summary>The four wire types of protobuf, without a schema.</summary>
    private static class Protobuf
    {
        public readonly record struct Field(int Number, ulong Value, ReadOnlyMemory<byte> Bytes);

        public static List<Field> Fields(ReadOnlyMemory<byte> message)
        {
            var fields = new List<Field>();
            var at = 0;
            while (at < message.Length)
            {
                var tag = Variable(message.Span, ref at);
                var number = (int)(tag >> 3);
                switch (tag & 7)
                {
                    case 0:
                        fields.Add(new Field(number, Variable(message.Span, ref at), default));
                        break;
                    case 1:
                        fields.Add(new Field(number, BinaryPrimitives.ReadUInt64LittleEndian(Take(message, ref at, 8).Span), default));
                        break;
                    case 2:
                        var length = Variable(message.Span, ref at);
                        fields.Add(new Field(number, 0, Take(message, ref at, length)));
                        break;
                    case 5:
                        fields.Add(new Field(number, BinaryPrimitives.ReadUInt32LittleEndian(Take(message, ref at, 4).Span), default));
                        break;
                    default:
                        throw new FormatException("The message is no protobuf.");
                }
            }

            return fields;
        }

        private static ReadOnlyMemory<byte> Take(ReadOnlyMemory<byte> message, ref int at, ulong length)
        {
            if (length > (ulong)(message.Length - at))
            {
                throw new FormatException("The message ends in the middle of a field.");
            }

            at += (int)length;
            return message.Slice(at - (int)length, (int)length);
        }

        private static ulong Variable(ReadOnlySpan<byte> message, ref int at)
        {
            ulong value = 0;
            for (var shift = 0; shift < 64; shift += 7)
            {
                if (at >= message.Length)
                {
                    throw new FormatException("The message ends in the middle of a number.");
                }

                var next = message[at++];
                value |= (ulong)(next & 0x7F) << shift;
                if ((next & 0x80) == 0)
                {
                    return value;
                }
            }

            throw new FormatException("A number is longer than 64 bits.");
        }
    }
}
