using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// OpenAPI v3, as much as the clients read: that each kind's PATCH takes <c>fieldValidation</c> (so the server validates and they do
/// not), and the schemas of the kinds for <c>kubectl explain</c>, with the merge keys that <c>kubectl apply</c> looks up.
/// </summary>
internal sealed class OpenApi
{
    /// <summary>The only form in which kubectl reads OpenAPI v2.</summary>
    public const string Version2Accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

    /// <summary>The same as a Content-Type, in which an at sign may not stand.</summary>
    public const string Version2Type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

    private readonly Dictionary<string, Lazy<byte[]>> _documents = new(StringComparer.Ordinal);

    public OpenApi()
    {
        var paths = new JsonObject();
        foreach (var (group, version) in ResourceCatalog.Groups)
        {
            var path = group.Length == 0 ? $"api/{version}" : $"apis/{group}/{version}";
            paths[path] = new JsonObject { ["serverRelativeURL"] = $"/openapi/v3/{path}?hash=1" };
            _documents[path] = new(() => StoredJson.ToBytes(Document(group, version)));
        }

        Index = StoredJson.ToBytes(new JsonObject { ["paths"] = paths });
    }

    /// <summary>
    /// An OpenAPI v2 document without a schema, as protobuf: 1 swagger, 2 info {1 title, 2 version}. kubectl asks for it only for
    /// kinds that v3 lacks, and goes on to say that the kind is unknown; without the document it says something less helpful.
    /// </summary>
    public static byte[] EmptyVersion2 { get; } = "\n\u00032.0\u0012\u0015\n\nKubernetes\u0012\u0007v1.35.2"u8.ToArray();

    public byte[] Index { get; }

    /// <summary>The document of <c>api/v1</c> or <c>apis/GROUP/VERSION</c>, or null.</summary>
    public byte[]? Find(string path) => _documents.GetValueOrDefault(path)?.Value;

    private static JsonObject Document(string group, string version)
    {
        var root = group.Length == 0 ? $"/api/{version}" : $"/apis/{group}/{version}";
        var paths = new JsonObject();
        var schemas = new JsonObject();
        var types = ResourceCatalog.Resources.Concat(ResourceCatalog.Reviews).Where(type => type.Group == group && type.Version == version);
        foreach (var type in types)
        {
            var path = type.Namespaced ? $"{root}/namespaces/{{namespace}}/{type.Name}/{{name}}" : $"{root}/{type.Name}/{{name}}";
            paths[path] = new JsonObject
            {
                ["get"] = Operation("get", type),
                ["patch"] = Operation("patch", type),
                ["put"] = Operation("put", type),
            };
            var collection = path[..^"/{name}".Length];
            paths[collection] = new JsonObject { ["get"] = Operation("list", type), ["post"] = Operation("post", type) };
            Describe(ApiTypes.Of(type), schemas, type);
        }

        return new JsonObject
        {
            ["openapi"] = "3.0.0",
            ["info"] = new JsonObject { ["title"] = "Kubernetes", ["version"] = "v1.35.2" },
            ["paths"] = paths,
            ["components"] = new JsonObject { ["schemas"] = schemas },
        };
    }

    private static JsonObject Operation(string action, ResourceType type) => new()
    {
        ["operationId"] = action + type.Kind,
        ["parameters"] = new JsonArray(
            Parameter("dryRun"),
            Parameter("fieldManager"),
            Parameter("fieldValidation")),
        ["responses"] = new JsonObject
        {
            ["200"] = new JsonObject
            {
                ["description"] = "OK",
                ["content"] = new JsonObject { ["application/json"] = new JsonObject { ["schema"] = Reference(SchemaName(type)) } },
            },
        },
        ["x-kubernetes-action"] = action,
        ["x-kubernetes-group-version-kind"] = Gvk(type),
    };

    private static JsonObject Parameter(string name) => new()
    {
        ["name"] = name,
        ["in"] = "query",
        ["schema"] = new JsonObject { ["type"] = "string", ["uniqueItems"] = true },
    };

    private static JsonObject Gvk(ResourceType type) => new() { ["group"] = type.Group, ["version"] = type.Version, ["kind"] = type.Kind };

    private static string SchemaName(ResourceType type) => "rehearsal." + type.Kind;

    private static JsonObject Reference(string name) => new() { ["$ref"] = "#/components/schemas/" + name };

    private static void Describe(ApiType type, JsonObject schemas, ResourceType? root)
    {
        var name = "rehearsal." + type.Name;
        if (schemas.ContainsKey(name))
        {
            return;
        }

        var properties = new JsonObject();
        var schema = new JsonObject { ["type"] = "object", ["properties"] = properties };
        schemas[name] = schema;
        if (root is not null)
        {
            schema["x-kubernetes-group-version-kind"] = new JsonArray(Gvk(root));
            properties["apiVersion"] = new JsonObject { ["type"] = "string" };
            properties["kind"] = new JsonObject { ["type"] = "string" };
        }

        if (type.Atomic)
        {
            schema["x-kubernetes-map-type"] = "atomic";
        }

        foreach (var (member, field) in type.Fields)
        {
            var property = Property(field.Shape, schemas);
            if (field.PatchMerge)
            {
                property["x-kubernetes-patch-strategy"] = "merge";
                if (field.PatchKey is not null)
                {
                    property["x-kubernetes-patch-merge-key"] = field.PatchKey;
                }
            }

            if (field.Shape.Kind == ShapeKind.List)
            {
                property["x-kubernetes-list-type"] = field.Merge switch
                {
                    ListMerge.Map => "map",
                    ListMerge.Set => "set",
                    _ => "atomic",
                };
                if (field.Keys.Count > 0)
                {
                    property["x-kubernetes-list-map-keys"] = new JsonArray(field.Keys.Select(key => (JsonNode)key).ToArray());
                }
            }

            properties[member] = property;
        }
    }

    private static JsonObject Property(Shape shape, JsonObject schemas)
    {
        switch (shape.Kind)
        {
            case ShapeKind.Object:
                Describe(shape.Type!, schemas, null);
                return new JsonObject { ["allOf"] = new JsonArray(Reference("rehearsal." + shape.Type!.Name)) };
            case ShapeKind.List:
                return new JsonObject { ["type"] = "array", ["items"] = Property(shape.Element!, schemas) };
            case ShapeKind.Map:
                return new JsonObject { ["type"] = "object", ["additionalProperties"] = Property(shape.Element!, schemas) };
            case ShapeKind.Int:
                return new JsonObject { ["type"] = "integer", ["format"] = "int32" };
            case ShapeKind.Float:
                return new JsonObject { ["type"] = "number", ["format"] = "double" };
            case ShapeKind.Bool:
                return new JsonObject { ["type"] = "boolean" };
            case ShapeKind.Bytes:
                return new JsonObject { ["type"] = "string", ["format"] = "byte" };
            case ShapeKind.IntOrString:
                return new JsonObject
                {
                    ["oneOf"] = new JsonArray(new JsonObject { ["type"] = "integer" }, new JsonObject { ["type"] = "string" }),
                    ["format"] = "int-or-string",
                };
            case ShapeKind.Time or ShapeKind.MicroTime:
                return new JsonObject { ["type"] = "string", ["format"] = "date-time" };
            case ShapeKind.Fields or ShapeKind.Raw:
                return new JsonObject { ["type"] = "object" };
            default:
                return new JsonObject { ["type"] = "string" };
        }
    }
}
