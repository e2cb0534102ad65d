using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// Reads the protobuf bodies that the typed clients send: the four magic bytes, the envelope (runtime.Unknown), and the message,
/// whose field numbers api-types.txt has. Unknown fields are skipped, as protobuf wants it.
/// </summary>
internal static class ProtobufReader
{
    private static ReadOnlySpan<byte> Magic => "k8s\0"u8;

    /// <summary>The object as JSON, kind and apiVersion included. Kinds without a type give only those two.</summary>
    /// <exception cref="ShapeException">The bytes are no Kubernetes protobuf.</exception>
    public static JsonObject Read(ReadOnlySpan<byte> body)
    {
        if (!body.StartsWith(Magic))
        {
            throw new ShapeException("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
        }

        string apiVersion = "", kind = "";
        ReadOnlySpan<byte> raw = default;
        var envelope = new Reader(body[Magic.Length..]);
        while (envelope.Next(out var number, out var wire))
        {
            switch (number)
            {
                case 1:
                    var meta = new Reader(envelope.Bytes(wire));
                    while (meta.Next(out var field, out var type))
                    {
                        switch (field)
                        {
                            case 1:
                                apiVersion = meta.Text(type);
                                break;
                            case 2:
                                kind = meta.Text(type);
                                break;
                            default:
                                meta.Skip(type);
                                break;
                        }
                    }

                    break;
                case 2:
                    raw = envelope.Bytes(wire);
                    break;
                default:
                    envelope.Skip(wire);
                    break;
            }
        }

        var result = new JsonObject { ["kind"] = kind, ["apiVersion"] = apiVersion };
        if (ApiTypes.Find(kind) is { } message)
        {
            Message(message, raw, result);
        }

        return result;
    }

    private static void Message(ApiType type, ReadOnlySpan<byte> bytes, JsonObject target)
    {
        var reader = new Reader(bytes);
        while (reader.Next(out var number, out var wire))
        {
            if (type.Find(number) is not { } field)
            {
                reader.Skip(wire);
                continue;
            }

            if (field.Inline)
            {
                Message(field.Shape.Type!, reader.Bytes(wire), target);
                continue;
            }

            switch (field.Shape.Kind)
            {
                case ShapeKind.List:
                    if (target[field.Name] is not JsonArray list)
                    {
                        target[field.Name] = list = [];
                    }

                    list.Add(Value(field.Shape.Element!, ref reader, wire));
                    break;
                case ShapeKind.Map:
                    Entry(field.Shape.Element!, reader.Bytes(wire), target.Child(field.Name));
                    break;
                default:
                    target[field.Name] = Value(field.Shape, ref reader, wire);
                    break;
            }
        }
    }

    private static void Entry(Shape element, ReadOnlySpan<byte> bytes, JsonObject map)
    {
        var key = "";
        JsonNode? value = element.Kind is ShapeKind.String or ShapeKind.Bytes ? "" : null;
        var reader = new Reader(bytes);
        while (reader.Next(out var number, out var wire))
        {
            switch (number)
            {
                case 1:
                    key = reader.Text(wire);
                    break;
                case 2:
                    value = Value(element, ref reader, wire);
                    break;
                default:
                    reader.Skip(wire);
                    break;
            }
        }

        map[key] = value;
    }

    private static JsonNode? Value(Shape shape, ref Reader reader, int wire)
    {
        switch (shape.Kind)
        {
            case ShapeKind.String:
                return reader.Text(wire);
            case ShapeKind.Int:
                return unchecked((long)reader.Varint(wire));
            case ShapeKind.Bool:
                return reader.Varint(wire) != 0;
            case ShapeKind.Float:
                return BitConverter.UInt64BitsToDouble(reader.Fixed64(wire));
            case ShapeKind.Bytes:
                return Convert.ToBase64String(reader.Bytes(wire));
            case ShapeKind.Quantity:
                return Single(reader.Bytes(wire));
            case ShapeKind.IntOrString:
                return IntOrString(reader.Bytes(wire));
            case ShapeKind.Time:
            case ShapeKind.MicroTime:
                return Time(reader.Bytes(wire), shape.Kind);
            case ShapeKind.Fields:
            case ShapeKind.Raw:
                return Embedded(reader.Bytes(wire));
            case ShapeKind.Object:
                var child = new JsonObject();
                Message(shape.Type!, reader.Bytes(wire), child);
                return child;
            default:
                throw new ShapeException("nested lists are not part of the API");
        }
    }

    private static string Single(ReadOnlySpan<byte> bytes)
    {
        var text = "";
        var reader = new Reader(bytes);
        while (reader.Next(out var number, out var wire))
        {
            if (number == 1)
            {
                text = reader.Text(wire);
            }
            else
            {
                reader.Skip(wire);
            }
        }

        return text;
    }

    private static JsonNode IntOrString(ReadOnlySpan<byte> bytes)
    {
        var isText = false;
        var number = 0L;
        var text = "";
        var reader = new Reader(bytes);
        while (reader.Next(out var field, out var wire))
        {
            switch (field)
            {
                case 1:
                    isText = reader.Varint(wire) == 1;
                    break;
                case 2:
                    number = unchecked((long)reader.Varint(wire));
                    break;
                case 3:
                    text = reader.Text(wire);
                    break;
                default:
                    reader.Skip(wire);
                    break;
            }
        }

        return isText ? text : number;
    }

    /// <summary>A time without seconds is null.</summary>
    private static JsonNode? Time(ReadOnlySpan<byte> bytes, ShapeKind kind)
    {
        long seconds = 0, nanos = 0;
        var reader = new Reader(bytes);
        while (reader.Next(out var number, out var wire))
        {
            switch (number)
            {
                case 1:
                    seconds = unchecked((long)reader.Varint(wire));
                    break;
                case 2:
                    nanos = unchecked((long)reader.Varint(wire));
                    break;
                default:
                    reader.Skip(wire);
                    break;
            }
        }

        if (seconds is 0 or < -62_135_596_800 or > 253_402_300_799)
        {
            return null;
        }

        var time = DateTimeOffset.FromUnixTimeSeconds(seconds).AddTicks(nanos / 100);
        return kind == ShapeKind.Time
            ? ObjectStore.Stamp(time)
            : time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture);
    }

    private static JsonNode? Embedded(ReadOnlySpan<byte> bytes)
    {
        var json = new Reader(bytes);
        while (json.Next(out var number, out var wire))
        {
            if (number == 1)
            {
                try
                {
                    return JsonNode.Parse(json.Bytes(wire));
                }
                catch (JsonException)
                {
                    throw new ShapeException("embedded JSON in a protobuf message cannot be read");
                }
            }

            json.Skip(wire);
        }

        return null;
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _rest = bytes;

        public bool Next(out int number, out int wire)
        {
            if (_rest.IsEmpty)
            {
                number = wire = 0;
                return false;
            }

            var tag = ReadVarint();
            number = (int)(tag >> 3);
            wire = (int)(tag & 7);
            return true;
        }

        public ulong Varint(int wire) => wire == 0 ? ReadVarint() : throw Broken();

        public ulong Fixed64(int wire) => wire == 1 ? BitConverter.ToUInt64(Take(8)) : throw Broken();

        public string Text(int wire) => Encoding.UTF8.GetString(Bytes(wire));

        public ReadOnlySpan<byte> Bytes(int wire)
        {
            if (wire != 2)
            {
                throw Broken();
            }

            var length = ReadVarint();
            return length <= (ulong)_rest.Length ? Take((int)length) : throw Broken();
        }

        public void Skip(int wire)
        {
            switch (wire)
            {
                case 0:
                    ReadVarint();
                    break;
                case 1:
                    Take(8);
                    break;
                case 2:
                    Bytes(wire);
                    break;
                case 5:
                    Take(4);
                    break;
                default:
                    throw Broken();
            }
        }

        private static ShapeException Broken() => new("proto: illegal wireType or unexpected EOF");

        private ReadOnlySpan<byte> Take(int length)
        {
            if (length > _rest.Length)
            {
                throw Broken();
            }

            var taken = _rest[..length];
            _rest = _rest[length..];
            return taken;
        }

        private ulong ReadVarint()
        {
            ulong value = 0;
            for (var shift = 0; shift < 64; shift += 7)
            {
                var next = Take(1)[0];
                value |= (ulong)(next & 0x7F) << shift;
                if ((next & 0x80) == 0)
                {
                    return value;
                }
            }

            throw Broken();
        }
    }
}
