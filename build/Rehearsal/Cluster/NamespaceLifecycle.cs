using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>
/// Gives every namespace its ServiceAccount <c>default</c> and ConfigMap <c>kube-root-ca.crt</c>, and empties one that is being deleted:
/// its objects are deleted, its conditions say what remains, and when nothing does, its finalizer goes and with it the namespace.
/// </summary>
internal sealed class NamespaceLifecycle(ObjectStore store, TimeProvider time, string authority, Action<string> complain)
{
    private static readonly string[] Initial = ["default", "kube-system", "kube-public", "kube-node-lease"];

    /// <summary>The namespaces every cluster has; and the API server's own Service.</summary>
    public void EnsureInitial(Uri address)
    {
        foreach (var name in Initial.Where(name => store.Get(new ObjectKey("", "namespaces", null, name)) is null))
        {
            store.Create("", "namespaces", new JsonObject { ["metadata"] = new JsonObject { ["name"] = name } });
        }

        if (store.Get(new ObjectKey("", "services", "default", "kubernetes")) is null)
        {
            store.Create("", "services", new JsonObject
            {
                ["metadata"] = new JsonObject
                {
                    ["name"] = "kubernetes",
                    ["namespace"] = "default",
                    ["labels"] = new JsonObject { ["component"] = "apiserver", ["provider"] = "kubernetes" },
                },
                ["spec"] = new JsonObject
                {
                    ["clusterIP"] = "10.96.0.1",
                    ["ports"] = new JsonArray(
                        new JsonObject { ["name"] = "https", ["port"] = 443, ["protocol"] = "TCP", ["targetPort"] = address.Port }),
                },
            });
        }

        var endpoints = new JsonArray(new JsonObject
        {
            ["addresses"] = new JsonArray(new JsonObject { ["ip"] = address.Host }),
            ["ports"] = new JsonArray(new JsonObject { ["name"] = "https", ["port"] = address.Port, ["protocol"] = "TCP" }),
        });
        var key = new ObjectKey("", "endpoints", "default", "kubernetes");
        if (store.Update(key, value => value["subsets"] = endpoints.DeepClone()) is null)
        {
            store.Create(
                "",
                "endpoints",
                new JsonObject
                {
                    ["metadata"] = new JsonObject { ["name"] = "kubernetes", ["namespace"] = "default" },
                    ["subsets"] = endpoints,
                });
        }
    }

    public async Task RunAsync(CancellationToken cancellation)
    {
        var ending = new HashSet<string>(StringComparer.Ordinal);
        await foreach (var change in store.WatchAsync(cancellation))
        {
            try
            {
                Follow(change, ending);
            }
            catch (ApiException refused)
            {
                complain($"The namespace controller was refused at {change.Key}: {refused.Message}");
            }
        }
    }

    private void Follow(Change change, HashSet<string> ending)
    {
        if (change.Key is { Group: "", Resource: "namespaces" })
        {
            var name = change.Key.Name;
            if (change.Kind == ChangeKind.Deleted)
            {
                ending.Remove(name);
            }
            else if (change.Object.Is("metadata", "deletionTimestamp"))
            {
                if (ending.Add(name))
                {
                    Empty(name);
                }
            }
            else
            {
                Furnish(name);
            }
        }
        else if (change is { Kind: ChangeKind.Deleted, Key.Namespace: { } ns } && ending.Contains(ns))
        {
            Finish(ns);
        }
        else if (change is { Kind: ChangeKind.Deleted, Key: { Resource: "serviceaccounts" or "configmaps", Namespace: { } home } }
            && change.Key.Name is "default" or "kube-root-ca.crt")
        {
            Furnish(home);
        }
    }

    private void Furnish(string name)
    {
        Ensure("serviceaccounts", name, "default", new JsonObject());
        Ensure("configmaps", name, "kube-root-ca.crt", new JsonObject { ["data"] = new JsonObject { ["ca.crt"] = authority } });
    }

    private void Ensure(string resource, string @namespace, string name, JsonObject value)
    {
        if (store.Get(new ObjectKey("", resource, @namespace, name)) is not null)
        {
            return;
        }

        value["metadata"] = new JsonObject { ["name"] = name, ["namespace"] = @namespace };
        try
        {
            store.Create("", resource, value);
        }
        catch (ApiException refused) when (refused.Code is 403 or 404 or 409)
        {
            // The namespace has gone meanwhile, or somebody made the object.
        }
    }

    private void Empty(string name)
    {
        foreach (var key in Remaining(name).ToList())
        {
            store.Delete(key);
        }

        Finish(name);
    }

    private IEnumerable<ObjectKey> Remaining(string name) =>
        ResourceCatalog.Resources.Where(type => type.Namespaced)
            .SelectMany(type => store.Snapshot(type.Group, type.Name, name).Items)
            .Select(stored => stored.Key);

    private void Finish(string name)
    {
        var remaining = Remaining(name).ToList();
        // The dot stands there even where a group has no name.
        var left = remaining
            .GroupBy(key => $"{key.Resource}.{key.Group}")
            .Select(group => $"{group.Key} has {group.Count()} resource instances")
            .ToList();
        var held = remaining
            .SelectMany(key => store.Get(key).At("metadata").List("finalizers"))
            .GroupBy(finalizer => finalizer!.GetValue<string>())
            .OrderBy(group => group.Key, StringComparer.Ordinal)
            .Select(group => $"{group.Key} in {group.Count()} resource instances")
            .ToList();
        var now = ObjectStore.Stamp(time.GetUtcNow());
        store.Update(new ObjectKey("", "namespaces", null, name), value =>
        {
            if (!value.Is("metadata", "deletionTimestamp"))
            {
                return;
            }

            var conditions = new JsonArray();
            void Condition(string type, bool holds, string reason, string message)
            {
                var status = holds ? "True" : "False";
                var before = value.At("status").Objects("conditions").FirstOrDefault(item => item.Text("type") == type);
                conditions.Add((JsonNode)new JsonObject
                {
                    ["type"] = type,
                    ["status"] = status,
                    ["lastTransitionTime"] = before.Text("status") == status ? before.Text("lastTransitionTime") : now,
                    ["reason"] = reason,
                    ["message"] = message,
                });
            }

            Condition("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered");
            Condition(
                "NamespaceDeletionGroupVersionParsingFailure",
                false,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed");
            Condition(
                "NamespaceDeletionContentFailure",
                false,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization");
            Condition(
                "NamespaceContentRemaining",
                left.Count > 0,
                left.Count > 0 ? "SomeResourcesRemain" : "ContentRemoved",
                left.Count > 0 ? "Some resources are remaining: " + string.Join(", ", left) : "All content successfully removed");
            Condition(
                "NamespaceFinalizersRemaining",
                held.Count > 0,
                held.Count > 0 ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
                held.Count > 0
                    ? "Some content in the namespace has finalizers remaining: " + string.Join(", ", held)
                    : "All content-preserving finalizers finished");
            value.Child("status")["conditions"] = conditions;
            if (left.Count == 0)
            {
                value.Child("spec").Remove("finalizers");
            }
        });
    }
}
