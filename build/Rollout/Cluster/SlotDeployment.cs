using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Cake.Helm;
using Cake.Helm.Lint;
using Cake.HelmCommands;
using Cake.Kubectl;

namespace Rollout.Cluster;

/// <summary>
/// What a person would type at the cluster: kubectl and helm through their Cake addins, so that each shows up on the console as the command
/// line it is and takes credentials from the kubeconfig alone.
/// </summary>
/// <param name="kubeconfig">Null is the tools' own default.</param>
/// <param name="kubeContext">Null is the kubeconfig's current context.</param>
/// <param name="complaint">What the tool that ran last wrote to standard error.</param>
public sealed class SlotDeployment(ICakeContext cake, string kubectl, string helm, string? kubeconfig, string? kubeContext, Func<string> complaint)
{
    /// <summary><c>kubectl create namespace</c>.</summary>
    public Task CreateNamespaceAsync(string @namespace) =>
        Kubectl(new KubectlCreateNamespaceSettings(), [@namespace], cake.KubectlCreateNamespace);

    /// <summary><c>kubectl label namespace</c>.</summary>
    public Task LabelNamespaceAsync(string @namespace, string label) =>
        Kubectl(new KubectlLabelSettings { Overwrite = true }, ["namespace", @namespace, label], cake.KubectlLabel);

    /// <summary><c>kubectl delete namespace</c>, waiting until it is gone.</summary>
    public Task DeleteNamespaceAsync(string @namespace) =>
        Kubectl(new KubectlDeleteSettings { IgnoreNotFound = true }, ["namespace", @namespace], cake.KubectlDelete);

    /// <summary><c>kubectl rollout status</c> of one Deployment.</summary>
    public Task RolloutStatusAsync(string @namespace, string deployment, TimeSpan timeout) =>
        Kubectl(
            new KubectlRolloutStatusSettings { Timeout = $"{timeout.TotalSeconds:0}s" },
            [$"deployment/{deployment}", "-n", @namespace],
            settings => _ = cake.KubectlRolloutStatusWithResult(settings).ToList());

    /// <summary><c>kubectl scale</c> of one Deployment.</summary>
    public Task ScaleAsync(string @namespace, string deployment, int replicas) =>
        Kubectl(
            new KubectlScaleSettings { Replicas = replicas.ToString(System.Globalization.CultureInfo.InvariantCulture) },
            [$"deployment/{deployment}", "-n", @namespace],
            settings => cake.KubectlScale(settings));

    /// <summary><c>helm lint</c> with the overlays.</summary>
    public Task LintAsync(string chart, IReadOnlyList<string> values) => Task.Run(() =>
        cake.HelmLint(new HelmLintSettings { Values = [.. values], ToolPath = helm }, chart));

    /// <summary><c>helm template</c>: what an upgrade with these values would apply.</summary>
    public async Task<RenderedChart> RenderAsync(string release, string chart, string @namespace, IReadOnlyList<string> values)
    {
        var lines = await Task.Run(() => cake.HelmTemplateWithResult(
            release, chart, Helm(new HelmTemplateSettings { Namespace = @namespace, Values = [.. values] })).ToList());
        return RenderedChart.Parse(string.Join('\n', lines));
    }

    /// <summary><c>helm upgrade --install --wait</c>.</summary>
    /// <exception cref="RolloutException">helm failed; its words are in the message.</exception>
    public Task UpgradeAsync(string release, string chart, string @namespace, IReadOnlyList<string> values, string description, TimeSpan timeout) =>
        Running($"helm upgrade {release} in {@namespace}", $"Look: kubectl get pods -n {@namespace}", () => _ = cake.HelmUpgradeWithResult(
            release,
            chart,
            Helm(new HelmUpgradeSettings
            {
                Install = true,
                Namespace = @namespace,
                Values = [.. values],
                Wait = "watcher",
                Timeout = timeout,
                Description = description,
                ForceConflicts = true,
                HistoryMax = 10,
            })).ToList());

    /// <summary><c>helm get manifest</c>: what a release has installed; null where there is no such release.</summary>
    public async Task<RenderedChart?> ManifestAsync(string release, string @namespace)
    {
        try
        {
            var lines = await Task.Run(() => cake.HelmGetManifestWithResult(release, Helm(new HelmGetManifestSettings { Namespace = @namespace })));
            return RenderedChart.Parse(string.Join('\n', lines));
        }
        catch (CakeException)
        {
            // helm tells "not found" and "unreachable" by one exit code; the caller has just spoken to the cluster.
            return null;
        }
    }

    /// <summary><c>helm uninstall</c>.</summary>
    public Task UninstallAsync(string release, string @namespace) => Task.Run(() =>
        cake.HelmUninstall(release, Helm(new HelmUninstallSettings { Namespace = @namespace, Wait = "watcher" })));

    private Task Kubectl<TSettings>(TSettings settings, string[] words, Action<TSettings> alias)
        where TSettings : ToolSettings
    {
        settings.ToolPath = kubectl;
        Surround(settings);
        settings.ArgumentCustomization = arguments =>
        {
            foreach (var word in words)
            {
                arguments.Append(word);
            }

            if (kubeContext is not null)
            {
                arguments.Append($"--context={kubeContext}");
            }

            return arguments;
        };
        return Running($"kubectl {string.Join(' ', words)}", null, () => alias(settings));
    }

    private Task Running(string what, string? hint, Action run) => Task.Run(() =>
    {
        try
        {
            run();
        }
        catch (CakeException exception)
        {
            throw new RolloutException($"{what} failed, exit code {exception.ExitCode}: {complaint()}", hint, ExitCode.Failed, exception);
        }
    });

    private TSettings Helm<TSettings>(TSettings settings)
        where TSettings : HelmSettings
    {
        settings.ToolPath = helm;
        settings.KubeContext = kubeContext;
        Surround(settings);
        return settings;
    }

    private void Surround(ToolSettings settings)
    {
        // helm reads a Deployment's pods anew for each of its events and allows itself five requests a second, which makes waiting for 27
        // Deployments take a minute longer than they do.
        settings.EnvironmentVariables = new Dictionary<string, string> { ["HELM_QPS"] = "200", ["HELM_BURST_LIMIT"] = "1000" };
        if (kubeconfig is not null)
        {
            settings.EnvironmentVariables["KUBECONFIG"] = kubeconfig;
        }
    }
}
