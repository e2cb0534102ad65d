using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>JSON the way objects are stored and answered: no white space, kind and apiVersion first.</summary>
internal static class StoredJson
{
    /// <summary>For <c>ToJsonString</c>: text outside ASCII as it is.</summary>
    public static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Freezes an object: its text, and a tree parsed from that text that nobody else holds.</summary>
    public static StoredObject Freeze(ObjectKey key, ResourceType type, JsonObject value, long revision)
    {
        var buffer = new ArrayBufferWriter<byte>(2048);
        using (var writer = new Utf8JsonWriter(buffer, WriterOptions))
        {
            writer.WriteStartObject();
            writer.WriteString("kind", type.Kind);
            writer.WriteString("apiVersion", type.ApiVersion);
            WriteMember(writer, value, "metadata");
            foreach (var (name, node) in value)
            {
                if (name is "kind" or "apiVersion" or "metadata" or "status")
                {
                    continue;
                }

                writer.WritePropertyName(name);
                WriteNode(writer, node);
            }

            WriteMember(writer, value, "status");
            writer.WriteEndObject();
        }

        var json = buffer.WrittenSpan.ToArray();
        return Thaw(key, type, json, revision);
    }

    /// <summary>A stored object out of its own text.</summary>
    public static StoredObject Thaw(ObjectKey key, ResourceType type, byte[] json, long revision)
    {
        var bodyStart = """{"kind":"","apiVersion":"",""".Length
            + Encoding.UTF8.GetByteCount(type.Kind)
            + Encoding.UTF8.GetByteCount(type.ApiVersion);
        return new StoredObject(key, type, (JsonObject)JsonNode.Parse(json)!, json, bodyStart, revision);
    }

    public static byte[] ToBytes(JsonNode node)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(buffer, WriterOptions))
        {
            node.WriteTo(writer);
        }

        return buffer.WrittenSpan.ToArray();
    }

    private static void WriteMember(Utf8JsonWriter writer, JsonObject value, string name)
    {
        if (value.TryGetPropertyValue(name, out var node))
        {
            writer.WritePropertyName(name);
            WriteNode(writer, node);
        }
    }

    private static void WriteNode(Utf8JsonWriter writer, JsonNode? node)
    {
        if (node is null)
        {
            writer.WriteNullValue();
        }
        else
        {
            node.WriteTo(writer);
        }
    }
}
