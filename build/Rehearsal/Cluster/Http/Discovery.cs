using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>The discovery documents, plain and aggregated, and /version. Made once.</summary>
internal sealed class Discovery
{
    public const string AggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

    // The minor version of the clients this server is made for, so that neither warns of skew.
    private const string Minor = "35";

    private static readonly string[] CollectionVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    private static readonly string[] ObjectVerbs = ["get", "patch", "update"];
    private static readonly string[] ReviewVerbs = ["create"];

    private readonly string _address;
    private readonly Lazy<byte[]> _coreGroup;
    private readonly Lazy<byte[]> _groups;
    private readonly Lazy<byte[]> _aggregatedCore;
    private readonly Lazy<byte[]> _aggregatedGroups;
    private readonly Dictionary<(string Group, string Version), Lazy<byte[]>> _resources;

    /// <param name="address">HOST:PORT.</param>
    public Discovery(string address)
    {
        _address = address;
        _coreGroup = new(() => StoredJson.ToBytes(CoreVersions()));
        _groups = new(() => StoredJson.ToBytes(Groups()));
        _aggregatedCore = new(() => StoredJson.ToBytes(Aggregated(ResourceCatalog.Groups.Where(item => item.Group.Length == 0))));
        _aggregatedGroups = new(() => StoredJson.ToBytes(Aggregated(ResourceCatalog.Groups.Where(item => item.Group.Length > 0))));
        _resources = ResourceCatalog.Groups.ToDictionary(
            item => item,
            item => new Lazy<byte[]>(() => StoredJson.ToBytes(Resources(item.Group, item.Version))));
        Version = StoredJson.ToBytes(new JsonObject
        {
            ["major"] = "1",
            ["minor"] = Minor,
            ["gitVersion"] = $"v1.{Minor}.2+rehearsal",
            ["gitCommit"] = "",
            ["gitTreeState"] = "clean",
            ["buildDate"] = "",
            ["goVersion"] = "none",
            ["compiler"] = "none",
            ["platform"] = "dotnet/" + Environment.Version.Major,
        });
    }

    public byte[] Version { get; }

    /// <summary>The document at /api or /apis.</summary>
    public byte[] Root(bool core, bool aggregated) => (core, aggregated) switch
    {
        (true, false) => _coreGroup.Value,
        (true, true) => _aggregatedCore.Value,
        (false, false) => _groups.Value,
        (false, true) => _aggregatedGroups.Value,
    };

    /// <summary>The document at /apis/GROUP, or null when there is no such group.</summary>
    public static JsonObject? Group(string group)
    {
        var version = ResourceCatalog.Groups.FirstOrDefault(item => item.Group == group && group.Length > 0).Version;
        if (version is null)
        {
            return null;
        }

        var described = GroupOf(group, version);
        described["kind"] = "APIGroup";
        described["apiVersion"] = "v1";
        return described;
    }

    /// <summary>The resources of a group version, or null when it is unknown.</summary>
    public byte[]? ResourceList(string group, string version) => _resources.GetValueOrDefault((group, version))?.Value;

    private static JsonObject GroupOf(string group, string version)
    {
        JsonObject Names() => new() { ["groupVersion"] = $"{group}/{version}", ["version"] = version };
        return new JsonObject { ["name"] = group, ["versions"] = new JsonArray(Names()), ["preferredVersion"] = Names() };
    }

    private static JsonObject Groups() => new()
    {
        ["kind"] = "APIGroupList",
        ["apiVersion"] = "v1",
        ["groups"] = new JsonArray(
            ResourceCatalog.Groups.Where(item => item.Group.Length > 0)
                .Select(item => (JsonNode)GroupOf(item.Group, item.Version))
                .ToArray()),
    };

    private static IEnumerable<ResourceType> Members(string group, string version) =>
        ResourceCatalog.Resources.Concat(ResourceCatalog.Reviews).Where(type => type.Group == group && type.Version == version);

    private static bool IsReview(ResourceType type) => ResourceCatalog.Reviews.Contains(type);

    private static JsonArray Texts(IEnumerable<string> texts) => new(texts.Select(text => (JsonNode)text).ToArray());

    private static JsonObject Resources(string group, string version)
    {
        var list = new JsonArray();
        foreach (var type in Members(group, version))
        {
            var entry = new JsonObject
            {
                ["name"] = type.Name,
                ["singularName"] = type.Singular,
                ["namespaced"] = type.Namespaced,
                ["kind"] = type.Kind,
                ["verbs"] = Texts(IsReview(type) ? ReviewVerbs : CollectionVerbs),
            };
            if (type.ShortNames.Count > 0)
            {
                entry["shortNames"] = Texts(type.ShortNames);
            }

            if (type.Categories.Count > 0)
            {
                entry["categories"] = Texts(type.Categories);
            }

            list.Add((JsonNode)entry);
            foreach (var (name, subGroup, subVersion, kind, verbs) in SubresourcesOf(type))
            {
                var below = new JsonObject { ["name"] = $"{type.Name}/{name}", ["singularName"] = "", ["namespaced"] = type.Namespaced };
                if ((subGroup, subVersion) != (group, version))
                {
                    below["group"] = subGroup;
                    below["version"] = subVersion;
                }

                below["kind"] = kind;
                below["verbs"] = Texts(verbs);
                list.Add((JsonNode)below);
            }
        }

        return new JsonObject
        {
            ["kind"] = "APIResourceList",
            ["apiVersion"] = "v1",
            ["groupVersion"] = group.Length == 0 ? version : $"{group}/{version}",
            ["resources"] = list,
        };
    }

    private static IEnumerable<Subresource> SubresourcesOf(ResourceType type) =>
        type.HasStatus
            ? type.Subresources.Append(new Subresource("status", type.Group, type.Version, type.Kind, ObjectVerbs))
            : type.Subresources;

    private static JsonObject Aggregated(IEnumerable<(string Group, string Version)> groups)
    {
        var items = new JsonArray();
        foreach (var (group, version) in groups)
        {
            var resources = Members(group, version).Select(type => (JsonNode)AggregatedResource(type)).ToArray();
            var metadata = new JsonObject { ["creationTimestamp"] = null };
            if (group.Length > 0)
            {
                metadata["name"] = group;
            }

            items.Add((JsonNode)new JsonObject
            {
                ["metadata"] = metadata,
                ["versions"] = new JsonArray(
                    new JsonObject { ["version"] = version, ["resources"] = new JsonArray(resources), ["freshness"] = "Current" }),
            });
        }

        return new JsonObject
        {
            ["kind"] = "APIGroupDiscoveryList",
            ["apiVersion"] = "apidiscovery.k8s.io/v2",
            ["metadata"] = new JsonObject(),
            ["items"] = items,
        };
    }

    private static JsonObject AggregatedResource(ResourceType type)
    {
        JsonObject Kind(string group, string version, string kind) => new() { ["group"] = group, ["version"] = version, ["kind"] = kind };
        var entry = new JsonObject
        {
            ["resource"] = type.Name,
            ["responseKind"] = Kind(type.Group, type.Version, type.Kind),
            ["scope"] = type.Namespaced ? "Namespaced" : "Cluster",
            ["singularResource"] = type.Singular,
            ["verbs"] = Texts(IsReview(type) ? ReviewVerbs : CollectionVerbs),
            ["shortNames"] = Texts(type.ShortNames),
            ["categories"] = Texts(type.Categories),
        };
        var below = SubresourcesOf(type).Select(item => (JsonNode)new JsonObject
        {
            ["subresource"] = item.Name,
            ["responseKind"] = Kind(item.Group, item.Version, item.Kind),
            ["verbs"] = Texts(item.Verbs),
        }).ToArray();
        if (below.Length > 0)
        {
            entry["subresources"] = new JsonArray(below);
        }

        return entry;
    }

    private JsonObject CoreVersions() => new()
    {
        ["kind"] = "APIVersions",
        ["versions"] = new JsonArray("v1"),
        ["serverAddressByClientCIDRs"] = new JsonArray(new JsonObject { ["clientCIDR"] = "0.0.0.0/0", ["serverAddress"] = _address }),
    };
}
