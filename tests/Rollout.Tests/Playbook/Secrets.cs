using System.Text.Json.Nodes;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

/// <summary>Puts back what a test took away.</summary>
internal static class Secrets
{
    public static async Task RestoreAsync(RehearsalWorld world, string secret)
    {
        var value = JsonNode.Parse(secret)!;
        var metadata = value["metadata"]!.AsObject();
        foreach (var name in new[] { "resourceVersion", "uid", "creationTimestamp", "managedFields" })
        {
            metadata.Remove(name);
        }

        var file = Path.Combine(world.Folder, "secret.json");
        await File.WriteAllTextAsync(file, value.ToJsonString());
        await world.KubectlAsync("create", "-f", file);
        File.Delete(file);
    }
}
