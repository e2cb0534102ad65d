using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>PersistentVolumeClaims: each is bound at once to a volume of its own, which goes with it.</summary>
internal sealed class ClaimController(ControllerContext context) : Controller("persistentvolume-controller", context)
{
    public override void Observe(Change change)
    {
        if (change.Key is { Group: "", Resource: "persistentvolumeclaims" })
        {
            Queue.Add(change.Key);
            if (change.Kind == ChangeKind.Deleted && change.Object.Text("spec", "volumeName") is { } volume)
            {
                Queue.Add(new ObjectKey("", "persistentvolumes", null, volume));
            }
        }
    }

    protected override void Reconcile(ObjectKey key)
    {
        if (key.Resource == "persistentvolumes")
        {
            DeleteUnclaimed(key);
        }
        else if (Store.Get(key) is { } claim && !claim.IsDeleting() && claim.Text("status", "phase") != "Bound")
        {
            Bind(key, claim);
        }
    }

    private void DeleteUnclaimed(ObjectKey key)
    {
        if (Store.Get(key).At("spec", "claimRef") is not { } reference)
        {
            return;
        }

        var claim = new ObjectKey("", "persistentvolumeclaims", reference.Text("namespace"), reference.Text("name") ?? "");
        if (Store.Get(claim)?.Uid() != reference.Text("uid"))
        {
            Store.Delete(key);
        }
    }

    private void Bind(ObjectKey key, JsonObject claim)
    {
        var name = claim.Text("spec", "volumeName") ?? "pvc-" + claim.Uid();
        var capacity = claim.At("spec", "resources", "requests")?.DeepClone() as JsonObject ?? [];
        var modes = claim.At("spec", "accessModes")?.DeepClone() ?? new JsonArray("ReadWriteOnce");
        if (Store.Get(new ObjectKey("", "persistentvolumes", null, name)) is null)
        {
            Store.Create("", "persistentvolumes", new JsonObject
            {
                ["kind"] = "PersistentVolume",
                ["apiVersion"] = "v1",
                ["metadata"] = new JsonObject { ["name"] = name },
                ["spec"] = new JsonObject
                {
                    ["capacity"] = capacity.DeepClone(),
                    ["accessModes"] = modes.DeepClone(),
                    ["persistentVolumeReclaimPolicy"] = "Delete",
                    ["storageClassName"] = claim.Text("spec", "storageClassName") ?? "rehearsal",
                    ["claimRef"] = new JsonObject
                    {
                        ["kind"] = "PersistentVolumeClaim",
                        ["apiVersion"] = "v1",
                        ["namespace"] = key.Namespace,
                        ["name"] = key.Name,
                        ["uid"] = claim.Uid(),
                    },
                    ["hostPath"] = new JsonObject { ["path"] = $"/claims/{key.Namespace}/{key.Name}" },
                },
                ["status"] = new JsonObject { ["phase"] = "Bound" },
            });
        }

        Store.Update(key, item =>
        {
            item.Child("spec")["volumeName"] = name;
            var status = item.Child("status");
            status["phase"] = "Bound";
            status["accessModes"] = modes.DeepClone();
            status["capacity"] = capacity.DeepClone();
        });
        Events.Normal(Name, claim, "ProvisioningSucceeded", $"Successfully provisioned volume {name}");
    }
}
