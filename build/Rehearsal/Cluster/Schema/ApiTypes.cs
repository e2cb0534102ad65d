using System.Collections.Frozen;
using System.Globalization;

namespace Rehearsal.Cluster;

internal enum ShapeKind
{
    String,
    Int,
    Bool,
    Float,
    Bytes,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Fields,
    Raw,
    Object,
    List,
    Map,
}

/// <summary>What a member holds; <paramref name="Type"/> for Object, <paramref name="Element"/> for List and Map.</summary>
internal sealed record Shape(ShapeKind Kind, ApiType? Type = null, Shape? Element = null);

internal enum ListMerge
{
    Atomic,
    Set,
    Map,
}

/// <summary>One member of a type, as the lines of api-types.txt say it.</summary>
internal sealed record ApiField(string Name, int Number, Shape Shape)
{
    /// <summary>
    /// The members of the shape's type stand in the owner's JSON themselves; in protobuf they are a message of their own.
    /// </summary>
    public bool Inline { get; init; }

    /// <summary>Absent and zero differ.</summary>
    public bool Optional { get; init; }

    /// <summary>Written even when zero.</summary>
    public bool Always { get; init; }

    /// <summary>Replaced whole by server-side apply, whatever the shape would allow.</summary>
    public bool Atomic { get; init; }

    /// <summary>How server-side apply merges the list.</summary>
    public ListMerge Merge { get; init; }

    /// <summary>Keys of a <see cref="ListMerge.Map"/>.</summary>
    public IReadOnlyList<string> Keys { get; init; } = [];

    /// <summary>Whether a strategic merge patch merges the list; else it replaces it.</summary>
    public bool PatchMerge { get; init; }

    /// <summary>The key by which a strategic merge patch merges; null for lists of plain values.</summary>
    public string? PatchKey { get; init; }

    public string? Default { get; init; }
}

/// <summary>A struct type of the Kubernetes API.</summary>
internal sealed class ApiType(string name, bool atomic)
{
    private readonly Dictionary<string, ApiField> _fields = new(StringComparer.Ordinal);
    private readonly Dictionary<int, ApiField> _byNumber = [];

    public string Name { get; } = name;

    public bool Atomic { get; } = atomic;

    /// <summary>JSON members, those of inlined types included.</summary>
    public IReadOnlyDictionary<string, ApiField> Fields => _fields;

    public ApiField? Find(string name) => _fields.GetValueOrDefault(name);

    public ApiField? Find(int number) => _byNumber.GetValueOrDefault(number);

    internal void Add(ApiField field)
    {
        _byNumber[field.Number] = field;
        if (!field.Inline)
        {
            _fields[field.Name] = field;
        }
    }

    /// <summary>
    /// Takes the members of inlined types over; those are complete, since a type stands before the types it names only for its own members.
    /// </summary>
    internal void Flatten()
    {
        foreach (var inline in _byNumber.Values.Where(field => field.Inline).ToList())
        {
            inline.Shape.Type!.Flatten();
            foreach (var (name, field) in inline.Shape.Type.Fields)
            {
                _fields.TryAdd(name, field);
            }
        }
    }
}

/// <summary>All types of api-types.txt, by name.</summary>
internal static class ApiTypes
{
    private static readonly Lazy<FrozenDictionary<string, ApiType>> All = new(Load);

    /// <summary>The type of a stored kind, or of a message the server reads; null when unknown.</summary>
    public static ApiType? Find(string kind) => All.Value.GetValueOrDefault(kind);

    /// <summary>The type of a resource's objects.</summary>
    public static ApiType Of(ResourceType type) => Find(type.Kind)
        ?? throw new InvalidOperationException($"api-types.txt lacks {type.Kind}; this is a bug in the rehearsal.");

    private static FrozenDictionary<string, ApiType> Load()
    {
        using var stream = typeof(ApiTypes).Assembly.GetManifestResourceStream("api-types.txt")!;
        using var reader = new StreamReader(stream);
        var lines = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var types = new Dictionary<string, ApiType>(StringComparer.Ordinal);
        foreach (var line in lines)
        {
            if (line[0] is not (' ' or '#'))
            {
                var words = line.Split(' ');
                types[words[0]] = new ApiType(words[0], words.Length > 1);
            }
        }

        var shapes = new Dictionary<string, Shape>(StringComparer.Ordinal);
        ApiType? current = null;
        foreach (var line in lines)
        {
            if (line[0] == ' ')
            {
                current!.Add(ReadField(line[1..].Split(' '), types, shapes));
            }
            else if (line[0] != '#')
            {
                current = types[line.Split(' ')[0]];
            }
        }

        foreach (var type in types.Values)
        {
            type.Flatten();
        }

        return types.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static ApiField ReadField(string[] words, Dictionary<string, ApiType> types, Dictionary<string, Shape> shapes)
    {
        var field = new ApiField(
            words[0],
            int.Parse(words[1], CultureInfo.InvariantCulture),
            ReadShape(words[2], types, shapes))
        {
            Inline = words[0] == "*",
        };
        foreach (var flag in words.AsSpan(3))
        {
            var (name, value) = flag.Split('=', 2) is [var left, var right] ? (left, right) : (flag, null);
            field = name switch
            {
                "?" => field with { Optional = true },
                "!" => field with { Always = true },
                "atomic" => field with { Atomic = true },
                "set" => field with { Merge = ListMerge.Set },
                "map" => field with { Merge = ListMerge.Map, Keys = value!.Split(',') },
                "merge" => field with { PatchMerge = true, PatchKey = value },
                // Strategic retainKeys is read from the patch itself ($retainKeys); nothing depends on the flag.
                "retain" => field,
                "default" => field with { Default = value },
                _ => throw new InvalidOperationException($"api-types.txt has the unknown flag {flag}; this is a bug in the rehearsal."),
            };
        }

        return field;
    }

    private static Shape ReadShape(string text, Dictionary<string, ApiType> types, Dictionary<string, Shape> shapes)
    {
        if (shapes.TryGetValue(text, out var shape))
        {
            return shape;
        }

        shape = text switch
        {
            "string" => new Shape(ShapeKind.String),
            "int" => new Shape(ShapeKind.Int),
            "bool" => new Shape(ShapeKind.Bool),
            "float" => new Shape(ShapeKind.Float),
            "bytes" => new Shape(ShapeKind.Bytes),
            "quantity" => new Shape(ShapeKind.Quantity),
            "intorstring" => new Shape(ShapeKind.IntOrString),
            "time" => new Shape(ShapeKind.Time),
            "microtime" => new Shape(ShapeKind.MicroTime),
            "fields" => new Shape(ShapeKind.Fields),
            "raw" => new Shape(ShapeKind.Raw),
            ['[', ']', .. var element] => new Shape(ShapeKind.List, Element: ReadShape(element, types, shapes)),
            ['{', '}', .. var value] => new Shape(ShapeKind.Map, Element: ReadShape(value, types, shapes)),
            _ => new Shape(ShapeKind.Object, types[text]),
        };
        shapes[text] = shape;
        return shape;
    }
}
