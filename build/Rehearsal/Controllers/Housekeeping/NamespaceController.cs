using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>Namespaces: what each new one is given, and the end of all that is in one that goes.</summary>
internal sealed class NamespaceController(ControllerContext context, Func<string?> certificateAuthority) : Controller("namespace-controller", context)
{
    private static readonly ResourceType[] Namespaced = ResourceCatalog.Resources.Where(type => type.Namespaced).ToArray();

    public override void Observe(Change change)
    {
        switch (change.Key)
        {
            case { Group: "", Resource: "namespaces" }:
                Queue.Add(change.Key);
                break;
            case { Namespace: { } name } when change.Kind == ChangeKind.Deleted:
                Queue.Add(new ObjectKey("", "namespaces", null, name));
                break;
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (Store.Get(key) is not { } home)
        {
            return;
        }

        if (home.IsDeleting())
        {
            Empty(key);
        }
        else
        {
            Furnish(key.Name);
        }
    }

    private void Furnish(string name)
    {
        if (Store.Get(new ObjectKey("", "serviceaccounts", name, "default")) is null)
        {
            Store.Create("", "serviceaccounts", new JsonObject
            {
                ["kind"] = "ServiceAccount",
                ["apiVersion"] = "v1",
                ["metadata"] = new JsonObject { ["name"] = "default", ["namespace"] = name },
            });
        }

        if (certificateAuthority() is { } pem && Store.Get(new ObjectKey("", "configmaps", name, "kube-root-ca.crt")) is null)
        {
            Store.Create("", "configmaps", new JsonObject
            {
                ["kind"] = "ConfigMap",
                ["apiVersion"] = "v1",
                ["metadata"] = new JsonObject
                {
                    ["name"] = "kube-root-ca.crt",
                    ["namespace"] = name,
                    ["annotations"] = new JsonObject
                    {
                        ["kubernetes.io/description"] = "Holds the certificate authority that signed the API server's certificate.",
                    },
                },
                ["data"] = new JsonObject { ["ca.crt"] = pem },
            });
        }
    }

    private void Empty(ObjectKey key)
    {
        var left = new SortedDictionary<string, int>(StringComparer.Ordinal);
        var held = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (var type in Namespaced)
        {
            foreach (var item in Store.List(type.Group, type.Name, key.Name))
            {
                var at = item.Key(type.Group, type.Name);
                if (!item.IsDeleting())
                {
                    Store.Delete(at);
                }

                if (Store.Get(at) is { } remaining)
                {
                    var resource = type.Group.Length == 0 ? type.Name + "." : $"{type.Name}.{type.Group}";
                    left[resource] = left.GetValueOrDefault(resource) + 1;
                    foreach (var finalizer in remaining.Strings("metadata", "finalizers"))
                    {
                        held[finalizer] = held.GetValueOrDefault(finalizer) + 1;
                    }
                }
            }
        }

        var now = Context.Now;
        Store.Update(key, home =>
        {
            var status = home.Child("status");
            Conditions.Set(status, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered", now);
            Conditions.Set(status, "NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", "All legacy kube types successfully parsed", now);
            Conditions.Set(
                status,
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
                now);
            var remaining = string.Join(", ", left.Select(entry => $"{entry.Key} has {entry.Value} resource instances"));
            Conditions.Set(
                status,
                "NamespaceContentRemaining",
                left.Count > 0 ? "True" : "False",
                left.Count > 0 ? "SomeResourcesRemain" : "ContentRemoved",
                left.Count > 0 ? "Some resources are remaining: " + remaining : "All content successfully removed",
                now);
            var holding = string.Join(", ", held.Select(entry => $"{entry.Key} in {entry.Value} resource instances"));
            Conditions.Set(
                status,
                "NamespaceFinalizersRemaining",
                held.Count > 0 ? "True" : "False",
                held.Count > 0 ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
                held.Count > 0 ? "Some content in the namespace has finalizers remaining: " + holding : "All content-preserving finalizers finished",
                now);
            if (left.Count == 0)
            {
                home.Child("spec").Remove("finalizers");
            }
        });
    }
}
