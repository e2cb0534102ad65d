using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>What must hold for every object's metadata.</summary>
internal static class MetadataValidation
{
    private const int AnnotationsLimit = 256 * 1024;

    public static void Check(ResourceType type, JsonObject value, Problems problems)
    {
        var metadata = value.Child("metadata");
        var name = metadata.Text("name") ?? "";
        if (name.Length == 0)
        {
            if (metadata.Text("generateName") is not { Length: > 0 } prefix)
            {
                problems.Required("metadata.name", "name or generateName is required");
            }
            else if (FormOf(type, prefix.TrimEnd('-', '.') is { Length: > 0 } stem ? stem : prefix) is { } wrong)
            {
                problems.Invalid("metadata.generateName", prefix, wrong);
            }
        }
        else if (FormOf(type, name) is { } why)
        {
            problems.Invalid("metadata.name", name, why);
        }

        Labels(metadata, "metadata.", problems);
        Owners(metadata, problems);
        var size = 0;
        foreach (var (key, text) in metadata.At("annotations")?.ToList() ?? [])
        {
            size += Encoding.UTF8.GetByteCount(key) + Encoding.UTF8.GetByteCount(text?.GetValue<string>() ?? "");
            if (Names.Qualified(key.ToLowerInvariant()) is { } form)
            {
                problems.Invalid("metadata.annotations", key, form);
            }
        }

        if (size > AnnotationsLimit)
        {
            problems.TooLong("metadata.annotations", AnnotationsLimit);
        }

        var index = 0;
        foreach (var finalizer in metadata.List("finalizers").Select(item => item?.GetValue<string>() ?? ""))
        {
            var at = $"metadata.finalizers[{index++}]";
            if (Names.Qualified(finalizer) is { } form)
            {
                problems.Invalid(at, finalizer, form);
            }
            else if (!finalizer.Contains('/', StringComparison.Ordinal)
                && finalizer is not ("orphan" or "foregroundDeletion" or "kubernetes"))
            {
                problems.Invalid(at, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
            }
        }
    }

    private static void Owners(JsonObject metadata, Problems problems)
    {
        foreach (var owner in metadata.Objects("ownerReferences"))
        {
            foreach (var (name, why) in new[]
            {
                ("apiVersion", "version must not be empty"),
                ("kind", "kind must not be empty"),
                ("name", "name must not be empty"),
                ("uid", "uid must not be empty"),
            })
            {
                if (owner.Text(name) is not { Length: > 0 })
                {
                    problems.Invalid("metadata.ownerReferences." + name, owner.Text(name) ?? "", why);
                }
            }
        }
    }

    public static void Labels(JsonObject? metadata, string path, Problems problems)
    {
        foreach (var (key, value) in metadata.At("labels")?.ToList() ?? [])
        {
            if (Names.Qualified(key) is { } form)
            {
                problems.Invalid(path + "labels", key, form);
            }

            var text = value?.GetValue<string>() ?? "";
            if (Names.LabelValue(text) is { } wrong)
            {
                problems.Invalid(path + "labels", text, wrong);
            }
        }
    }

    public static void Update(JsonObject value, JsonObject old, Problems problems)
    {
        if (value.At("metadata").Text("uid") is { Length: > 0 } uid && uid != old.At("metadata").Text("uid"))
        {
            problems.Invalid("metadata.uid", uid, "field is immutable");
        }

        if (old.At("metadata").Text("deletionTimestamp") is null)
        {
            return;
        }

        var before = old.At("metadata").List("finalizers").Select(item => item!.GetValue<string>()).ToHashSet(StringComparer.Ordinal);
        var fresh = value.At("metadata")
            .List("finalizers")
            .Select(item => item!.GetValue<string>())
            .Where(item => !before.Contains(item))
            .ToList();
        if (fresh.Count > 0)
        {
            problems.Forbidden(
                "metadata.finalizers",
                $"no new finalizers can be added if the object is being deleted, found new finalizers "
                + $"[]string{{{string.Join(", ", fresh.Select(item => $"\"{item}\""))}}}");
        }
    }

    private static string? FormOf(ResourceType type, string name) => type switch
    {
        { Group: "", Name: "namespaces" } => Names.Label(name),
        { Group: "", Name: "services" } => Names.Label1035(name),
        { Group: "rbac.authorization.k8s.io" } => Names.PathSegment(name),
        _ => Names.Subdomain(name),
    };
}
