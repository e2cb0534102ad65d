using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Who writes: the name from <c>fieldManager</c> or the User-Agent, the kind of write, and the subresource written to.</summary>
internal sealed record FieldManager(string Name, bool IsApply, string ApiVersion, string Subresource = "");

/// <summary>
/// <c>metadata.managedFields</c>: which manager owns which field. Server-side apply decides conflicts and removals by it; every
/// other write takes the fields it changes.
/// </summary>
internal sealed class ManagedFields
{
    private static readonly string[] OwnerlessMetadata =
    [
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion", "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ];

    // Nobody owns that there are metadata.
    private static readonly FieldSet TheMetadata = FieldSet.Parse(new JsonObject
    {
        ["f:metadata"] = new JsonObject { ["."] = new JsonObject() },
    });

    private readonly List<Entry> _entries = [];

    private ManagedFields()
    {
    }

    public static ManagedFields Of(JsonObject? value)
    {
        var result = new ManagedFields();
        foreach (var item in value.At("metadata").Objects("managedFields"))
        {
            if (item.Text("manager") is { } name && item["fieldsV1"] is JsonObject fields)
            {
                var manager = new FieldManager(
                    name,
                    item.Text("operation") == "Apply",
                    item.Text("apiVersion") ?? "",
                    item.Text("subresource") ?? "");
                result._entries.Add(new Entry(manager, FieldSet.Parse(fields), item.Text("time") ?? ""));
            }
        }

        return result;
    }

    /// <summary>
    /// A write that is no apply: the manager gets what changed between the two objects, the others lose it. The result goes into
    /// <paramref name="after"/>, whose own managedFields count when the client sent some.
    /// </summary>
    public static void RecordUpdate(ResourceType type, JsonObject? before, JsonObject after, FieldManager manager, string now)
    {
        var sent = after.At("metadata").List("managedFields");
        var fields = Of(sent.Count > 0 ? after : before);
        var (changed, removed) = FieldWalk.Compare(ApiTypes.Of(type), Owned(before), Owned(after));
        fields.Take(manager, changed.Except(TheMetadata), removed, now);
        fields.WriteTo(after);
    }

    /// <summary>Server-side apply: what the object becomes. The result is normalised neither nor defaulted.</summary>
    /// <param name="live">The object as it is, or null.</param>
    /// <exception cref="ApiException">409 with one cause per conflict, unless <paramref name="force"/>.</exception>
    public static JsonObject Apply(ResourceType type, JsonObject? live, JsonObject applied, FieldManager manager, bool force, string now)
    {
        var shape = ApiTypes.Of(type);
        var configuration = Owned(applied);
        FieldSet claim;
        try
        {
            claim = FieldWalk.Claim(shape, configuration);
        }
        catch (ShapeException wrong)
        {
            var metadata = applied.At("metadata");
            throw new ApiException(
                500,
                null,
                $"failed to create typed patch object ({metadata.Text("namespace")}/{metadata.Text("name")}; {type.ApiVersion}, "
                + $"Kind={type.Kind}): {wrong.Message}");
        }

        var result = live is null ? new JsonObject { ["metadata"] = new JsonObject() } : (JsonObject)live.DeepClone();
        var fields = Of(live);
        if (live is not null && fields._entries.Count == 0)
        {
            // Objects made without managers: their present content belongs to nobody in particular, and conflicts say so.
            fields.Take(
                new FieldManager("before-first-apply", false, type.ApiVersion),
                FieldWalk.Claim(shape, Owned(live)),
                new FieldSet(),
                now);
        }

        var before = fields.Find(manager)?.Fields ?? new FieldSet();
        foreach (var name in new[] { "name", "namespace", "generateName" })
        {
            if (applied.At("metadata")?[name] is { } text)
            {
                result.Child("metadata")[name] = text.DeepClone();
            }
        }

        FieldWalk.Merge(shape, result, configuration);
        var kept = fields._entries.Where(entry => entry.Manager != manager).Aggregate(claim, (sum, entry) => sum.Union(entry.Fields));
        FieldWalk.Prune(shape, result, before, kept);
        var (changed, removed) = FieldWalk.Compare(shape, Owned(live), Owned(result));
        var conflicts = fields._entries
            .Where(entry => entry.Manager != manager)
            .SelectMany(entry => entry.Fields.Common(changed).Select(path => (entry.Manager, Path: path)))
            .ToList();
        if (conflicts.Count > 0 && !force)
        {
            throw Conflict(conflicts);
        }

        fields.Lose(manager, changed, removed);
        fields.Put(manager, claim, now);
        fields.WriteTo(result);
        return result;
    }

    /// <summary>The parts of an object that have owners: not its identity, and not what the server alone writes.</summary>
    private static JsonObject Owned(JsonObject? value)
    {
        var result = (JsonObject?)value?.DeepClone() ?? [];
        result.Remove("kind");
        result.Remove("apiVersion");
        if (result["metadata"] is JsonObject metadata)
        {
            foreach (var name in OwnerlessMetadata)
            {
                metadata.Remove(name);
            }

            if (metadata.Count == 0)
            {
                result.Remove("metadata");
            }
        }

        return result;
    }

    private static ApiException Conflict(List<(FieldManager Manager, string Path)> conflicts)
    {
        var causes = conflicts.Select(
            item => new StatusCause("FieldManagerConflict", "conflict with " + Print(item.Manager), item.Path)).ToList();
        string text;
        if (conflicts.Count == 1)
        {
            text = $"Apply failed with 1 conflict: {causes[0].Message}: {causes[0].Field}";
        }
        else
        {
            var byManager = conflicts.GroupBy(item => Print(item.Manager)).OrderBy(group => group.Key, StringComparer.Ordinal)
                .Select(group => $"conflicts with {group.Key}:\n" + string.Join("\n", group.Select(item => "- " + item.Path)));
            text = $"Apply failed with {conflicts.Count} conflicts: " + string.Join("\n", byManager);
        }

        return new ApiException(409, "Conflict", text) { Causes = causes };
    }

    private static string Print(FieldManager manager) =>
        $"\"{manager.Name}\""
        + (manager.Subresource.Length > 0 ? $" with subresource \"{manager.Subresource}\"" : "")
        + (manager.IsApply ? "" : " using " + manager.ApiVersion);

    private Entry? Find(FieldManager manager) => _entries.FirstOrDefault(entry => entry.Manager == manager);

    private void Take(FieldManager manager, FieldSet changed, FieldSet removed, string now)
    {
        Lose(manager, changed, removed);
        var own = Find(manager)?.Fields ?? new FieldSet();
        Put(manager, own.Except(removed).Union(changed), now);
    }

    private void Lose(FieldManager except, FieldSet changed, FieldSet removed)
    {
        for (var i = 0; i < _entries.Count; i++)
        {
            var entry = _entries[i];
            var rest = entry.Fields.Except(removed);
            _entries[i] = entry with { Fields = entry.Manager == except ? rest : rest.Except(changed) };
        }
    }

    private void Put(FieldManager manager, FieldSet fields, string now)
    {
        var at = _entries.FindIndex(entry => entry.Manager == manager);
        if (at < 0)
        {
            _entries.Add(new Entry(manager, fields, now));
        }
        else if (!_entries[at].Fields.SameAs(fields))
        {
            _entries[at] = new Entry(manager, fields, now);
        }
    }

    private void WriteTo(JsonObject value)
    {
        var list = new JsonArray();
        var entries = _entries.Where(entry => !entry.Fields.IsEmpty)
            .OrderByDescending(entry => entry.Manager.IsApply)
            .ThenBy(entry => entry.Time, StringComparer.Ordinal)
            .ThenBy(entry => entry.Manager.Name, StringComparer.Ordinal);
        foreach (var (manager, fields, time) in entries)
        {
            var item = new JsonObject
            {
                ["manager"] = manager.Name,
                ["operation"] = manager.IsApply ? "Apply" : "Update",
                ["apiVersion"] = manager.ApiVersion,
                ["time"] = time,
                ["fieldsType"] = "FieldsV1",
                ["fieldsV1"] = fields.ToFields(),
            };
            if (manager.Subresource.Length > 0)
            {
                item["subresource"] = manager.Subresource;
            }

            list.Add((JsonNode)item);
        }

        if (list.Count > 0)
        {
            value.Child("metadata")["managedFields"] = list;
        }
        else
        {
            value.Child("metadata").Remove("managedFields");
        }
    }

    private sealed record Entry(FieldManager Manager, FieldSet Fields, string Time);
}
