using System.Buffers;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>One column: priority above zero is shown only with <c>-o wide</c>.</summary>
internal sealed record Column(string Name, string Type, int Priority);

/// <summary>The columns of a kind and how a row is read out of an object.</summary>
internal sealed record TableShape(IReadOnlyList<Column> Columns, Func<JsonObject, DateTimeOffset, object?[]> Cells)
{
    /// <summary>Names of columns; <c>#</c> before one marks an integer, <c>*</c> one for <c>-o wide</c>.</summary>
    public static TableShape Of(string columns, Func<JsonObject, DateTimeOffset, object?[]> cells) => new(
        columns.Split('|')
            .Select(
                name => new Column(
                    name.TrimStart('#', '*'),
                    name.Contains('#', StringComparison.Ordinal) ? "integer" : "string",
                    name.Contains('*', StringComparison.Ordinal) ? 1 : 0))
            .ToList(),
        cells);
}

/// <summary>What a Table answer puts beside the cells of each row.</summary>
internal enum RowObject
{
    None,
    Metadata,
    Object,
}

/// <summary>Writes <c>meta.k8s.io/v1 Table</c> documents.</summary>
internal static class Table
{
    public static void Write(
        IBufferWriter<byte> target,
        ResourceType type,
        IReadOnlyList<JsonObject> objects,
        JsonObject listMetadata,
        RowObject rowObject,
        DateTimeOffset now)
    {
        var shape = TableShapes.Of(type);
        using var writer = new Utf8JsonWriter(target, StoredJson.WriterOptions);
        writer.WriteStartObject();
        writer.WriteString("kind", "Table");
        writer.WriteString("apiVersion", "meta.k8s.io/v1");
        writer.WritePropertyName("metadata");
        listMetadata.WriteTo(writer);
        writer.WriteStartArray("columnDefinitions");
        foreach (var column in shape.Columns)
        {
            writer.WriteStartObject();
            writer.WriteString("name", column.Name);
            writer.WriteString("type", column.Type);
            writer.WriteString("format", column.Name == "Name" && column.Priority == 0 ? "name" : "");
            writer.WriteString("description", "");
            writer.WriteNumber("priority", column.Priority);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteStartArray("rows");
        foreach (var item in objects)
        {
            writer.WriteStartObject();
            writer.WriteStartArray("cells");
            foreach (var cell in shape.Cells(item, now))
            {
                switch (cell)
                {
                    case long number:
                        writer.WriteNumberValue(number);
                        break;
                    case null:
                        writer.WriteNullValue();
                        break;
                    default:
                        writer.WriteStringValue(cell.ToString());
                        break;
                }
            }

            writer.WriteEndArray();
            writer.WritePropertyName("object");
            switch (rowObject)
            {
                case RowObject.Object:
                    item.WriteTo(writer);
                    break;
                case RowObject.Metadata:
                    WritePartial(writer, item);
                    break;
                default:
                    writer.WriteNullValue();
                    break;
            }

            writer.WriteEndObject();
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    /// <summary>A <c>PartialObjectMetadata</c>: the object's metadata alone.</summary>
    public static void WritePartial(Utf8JsonWriter writer, JsonObject item)
    {
        writer.WriteStartObject();
        writer.WriteString("kind", "PartialObjectMetadata");
        writer.WriteString("apiVersion", "meta.k8s.io/v1");
        writer.WritePropertyName("metadata");
        (item["metadata"] ?? new JsonObject()).WriteTo(writer);
        writer.WriteEndObject();
    }
}
