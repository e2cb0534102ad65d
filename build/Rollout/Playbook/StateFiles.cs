using System.Text.Json.Nodes;

namespace Rollout.Playbook;

/// <summary>The "state" part of 2.4: <c>.aether_state</c>, which only insecure-default fallbacks write; a hardened deployment has none (platform contract, section 6).</summary>
internal static class StateFiles
{
    public static async Task<string> SynchroniseAsync(RolloutRun run, CancellationToken cancellationToken)
    {
        var hardened = (await run.Cluster.ListAsync($"/apis/apps/v1/namespaces/{run.Live.Namespace}/deployments", cancellationToken))
            .All(d => (d["spec"]!["template"]!["spec"]!["containers"] as JsonArray ?? []).OfType<JsonObject>()
                .All(c => c["securityContext"]?["readOnlyRootFilesystem"]?.GetValue<bool>() == true && !AllowsInsecureDefaults(c)));
        if (!hardened)
        {
            throw new RolloutException(
                $"A workload of {run.Named(run.Live)} may write .aether_state (its root file system is writable, or insecure defaults are allowed).",
                "Copying state files is not supported yet: harden the deployment as the chart does by default, or copy them by hand.");
        }

        run.Console.Note("state: not applicable, hardened");
        return "not applicable, hardened";
    }

    private static bool AllowsInsecureDefaults(JsonObject container) => (container["env"] as JsonArray ?? []).OfType<JsonObject>()
        .Any(e => e["name"]!.GetValue<string>().EndsWith("_ALLOW_INSECURE_DEFAULTS", StringComparison.Ordinal) && e["value"]?.GetValue<string>() is "1" or "true");
}
