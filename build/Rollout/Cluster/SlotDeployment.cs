using System.Security.Cryptography;
using System.Text;
using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Cake.Helm;
using Cake.Helm.Lint;
using Cake.Helm.Package;
using Cake.HelmCommands;
using Cake.Kubectl;

namespace Rollout.Cluster;

/// <summary>
/// What a person would type at the cluster: kubectl and helm through their Cake addins, so that each shows up on the console as the command
/// line it is and takes credentials from the kubeconfig alone. None of them outlives its limit, and what may be repeated is, when the server's
/// answer was of the passing kind.
/// </summary>
/// <param name="kubeconfig">Null is the tools' own default.</param>
/// <param name="kubeContext">Null is the kubeconfig's current context.</param>
/// <param name="complaint">What the tool that ran last wrote to standard error.</param>
/// <param name="fence">Asked before each attempt of a command that changes something.</param>
/// <param name="cancellationToken">Ends the pauses between two tries; who starts the processes ends those.</param>
public sealed class SlotDeployment(
    ICakeContext cake,
    string kubectl,
    string helm,
    string? kubeconfig,
    string? kubeContext,
    Func<string> complaint,
    Fence fence,
    TimeProvider time,
    IProgress<string> progress,
    CancellationToken cancellationToken)
{
    private const int Tries = 4;

    // Beyond what a tool allows itself, it hangs.
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan RequestTime = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan OneShotTime = RequestTime + Grace;
    private static readonly TimeSpan DeletionTime = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan HelmTime = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan UninstallTime = TimeSpan.FromMinutes(5);

    private static readonly string[] PassingComplaints =
    [
        "connection reset", "connection refused", "was refused", " EOF", "i/o timeout", "TLS handshake timeout", "Client.Timeout exceeded", "context deadline exceeded",
        "unable to handle the request", "too many requests", "Internal error occurred", "the server was unable to return a response",
        "Too Many Requests", "the object has been modified",
    ];

    /// <summary><c>kubectl create namespace</c>; one that is there already is fine, for kubectl may have made it and lost the answer.</summary>
    /// <exception cref="RolloutException">It failed, or the namespace is being deleted.</exception>
    public async Task CreateNamespaceAsync(string @namespace)
    {
        var failure = await TryKubectlOnceAsync(new KubectlCreateNamespaceSettings(), [@namespace], cake.KubectlCreateNamespace);
        if (failure is null)
        {
            return;
        }

        if (!failure.Complaint.Contains("AlreadyExists", StringComparison.Ordinal) || failure.Complaint.Contains("being deleted", StringComparison.Ordinal))
        {
            throw failure.Problem;
        }

        progress.Report($"namespace {@namespace} is there");
    }

    /// <summary><c>kubectl label namespace</c>.</summary>
    public Task LabelNamespaceAsync(string @namespace, string label) =>
        OrThrowAsync(TryKubectlOnceAsync(new KubectlLabelSettings { Overwrite = true }, ["namespace", @namespace, label], cake.KubectlLabel));

    /// <summary><c>kubectl delete namespace</c>, waiting until it is gone.</summary>
    public Task DeleteNamespaceAsync(string @namespace) =>
        OrThrowAsync(TryKubectlAsync(
            new KubectlDeleteSettings { IgnoreNotFound = true, Timeout = Seconds(DeletionTime), ToolTimeout = DeletionTime + Grace },
            ["namespace", @namespace],
            cake.KubectlDelete));

    /// <summary><c>kubectl rollout status</c> of one Deployment.</summary>
    public Task RolloutStatusAsync(string @namespace, string deployment, TimeSpan timeout) =>
        OrThrowAsync(TryKubectlAsync(
            new KubectlRolloutStatusSettings { Timeout = Seconds(timeout), ToolTimeout = timeout + Grace },
            [$"deployment/{deployment}", "-n", @namespace],
            settings => _ = cake.KubectlRolloutStatusWithResult(settings).ToList()));

    /// <summary><c>kubectl scale</c> of one Deployment.</summary>
    public Task ScaleAsync(string @namespace, string deployment, int replicas) =>
        OrThrowAsync(TryKubectlOnceAsync(
            new KubectlScaleSettings { Replicas = replicas.ToString(System.Globalization.CultureInfo.InvariantCulture) },
            [$"deployment/{deployment}", "-n", @namespace],
            settings => cake.KubectlScale(settings)));

    /// <summary><c>helm lint</c> with the overlays.</summary>
    /// <exception cref="RolloutException">It found an error.</exception>
    public Task LintAsync(string chart, IReadOnlyList<string> values) => OrThrowAsync(TryAsync($"helm lint {chart}", () =>
        cake.HelmLint(new HelmLintSettings { Values = [.. values], ToolPath = helm, ToolTimeout = HelmTime }, chart)));

    /// <summary><c>helm package</c>: <c>NAME-VERSION.tgz</c> in a folder.</summary>
    public Task PackageAsync(string chart, string destination) => OrThrowAsync(TryAsync($"helm package {chart}", () =>
        cake.HelmPackage(new HelmPackageSettings { Destination = destination, ToolPath = helm, ToolTimeout = HelmTime }, chart)));

    /// <summary><c>helm template</c>: what an upgrade with these values would apply.</summary>
    /// <exception cref="RolloutException">The chart does not render.</exception>
    public async Task<RenderedChart> RenderAsync(string release, string chart, string @namespace, IReadOnlyList<string> values)
    {
        IReadOnlyList<string> lines = [];
        await OrThrowAsync(TryAsync($"helm template {release} {chart}", () => lines = cake.HelmTemplateWithResult(
            release, chart, Helm(new HelmTemplateSettings { Namespace = @namespace, Values = [.. values] }))));
        return RenderedChart.Parse(string.Join('\n', lines));
    }

    /// <summary>What tells an upgrade from another: a digest over the chart, the values and the description.</summary>
    /// <param name="chart">The digest of the chart's folder.</param>
    /// <param name="values">The values files; what is in them counts, and their order.</param>
    public static async Task<string> DigestOfAsync(string chart, IReadOnlyList<string> values, string description, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add(Encoding.UTF8.GetBytes(chart));
        Add(Encoding.UTF8.GetBytes(description));
        foreach (var file in values)
        {
            Add(await File.ReadAllBytesAsync(file, cancellationToken));
        }

        // A label's value has 63 characters at most, and the revision's number follows.
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..40];

        void Add(byte[] part)
        {
            hash.AppendData(BitConverter.GetBytes(part.LongLength));
            hash.AppendData(part);
        }
    }

    /// <summary><c>helm upgrade --install --wait</c>.</summary>
    /// <param name="applied">
    /// The digest of what is applied and the number that the revision will have; they come back as <see cref="HelmRevision.Applied"/>.
    /// </param>
    /// <exception cref="RolloutException">helm failed; its words are in the message.</exception>
    public Task UpgradeAsync(
        string release, string chart, string @namespace, IReadOnlyList<string> values, string description, (string Digest, int Number) applied, TimeSpan timeout) =>
        OrThrowAsync(TryAsync($"helm upgrade {release} in {@namespace}", () => _ = cake.HelmUpgradeWithResult(
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
                Labels = new Dictionary<string, string>
                {
                    [HelmRevision.AppliedLabel] = HelmRevision.AppliedValue(applied.Digest, applied.Number),
                    [HelmRevision.MachineLabel] = ProcessMark.Current?.Machine ?? "unknown",
                },
                ForceConflicts = true,
                HistoryMax = 10,
                ToolTimeout = timeout + Grace,
            })), fence, $"Look: kubectl get pods -n {@namespace}"));

    /// <summary><c>helm get manifest</c>: what a release has installed; null where there is no such release.</summary>
    /// <exception cref="RolloutException">helm could not find out.</exception>
    public async Task<RenderedChart?> ManifestAsync(string release, string @namespace)
    {
        IReadOnlyList<string> lines = [];
        var failure = await RepeatAsync($"helm get manifest {release} in {@namespace}", () => lines = cake.HelmGetManifestWithResult(
            release, Helm(new HelmGetManifestSettings { Namespace = @namespace })));
        if (failure is not null)
        {
            // helm tells "there is none" and "I could not look" by one exit code.
            return failure.Complaint.Contains("release: not found", StringComparison.Ordinal) ? null : throw failure.Problem;
        }

        return RenderedChart.Parse(string.Join('\n', lines));
    }

    /// <summary><c>helm uninstall</c>.</summary>
    public Task UninstallAsync(string release, string @namespace) => OrThrowAsync(TryAsync($"helm uninstall {release} in {@namespace}", () =>
        cake.HelmUninstall(release, Helm(new HelmUninstallSettings { Namespace = @namespace, Wait = "watcher", Timeout = UninstallTime, ToolTimeout = UninstallTime + Grace })), fence));

    /// <summary>Whether a tool's complaint is of a server that may do better in a moment.</summary>
    internal static bool IsPassing(string complaint) => PassingComplaints.Any(c => complaint.Contains(c, StringComparison.Ordinal));

    private static string Seconds(TimeSpan time) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{time.TotalSeconds:0}s");

    // A command that waits for nothing: a server that hangs ends it with an error.
    private Task<Failure?> TryKubectlOnceAsync<TSettings>(TSettings settings, string[] words, Action<TSettings> alias)
        where TSettings : ToolSettings
    {
        settings.ToolTimeout = OneShotTime;
        return TryKubectlAsync(settings, [.. words, $"--request-timeout={Seconds(RequestTime)}"], alias);
    }

    private Task<Failure?> TryKubectlAsync<TSettings>(TSettings settings, string[] words, Action<TSettings> alias)
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
        return RepeatAsync($"kubectl {string.Join(' ', words)}", () => alias(settings), fence);
    }

    private static async Task OrThrowAsync(Task<Failure?> running)
    {
        if (await running is { } failure)
        {
            throw failure.Problem;
        }
    }

    private async Task<Failure?> RepeatAsync(string what, Action run, Fence? before = null)
    {
        for (var attempt = 1; ; attempt++)
        {
            var failure = await TryAsync(what, run, before);
            if (failure is null || attempt == Tries || !IsPassing(failure.Complaint) || cancellationToken.IsCancellationRequested)
            {
                return failure;
            }

            var pause = TimeSpan.FromMilliseconds(500 * attempt);
            progress.Report($"{failure.Problem.Message}; trying again in {pause.TotalSeconds:0.#} s");
            await Waiting.PauseAsync(pause, time, cancellationToken);
        }
    }

    private async Task<Failure?> TryAsync(string what, Action run, Fence? before = null, string? hint = null)
    {
        if (before is not null)
        {
            await before(cancellationToken);
        }

        try
        {
            await Task.Run(run);
            return null;
        }
        catch (CakeException exception)
        {
            var said = complaint();
            return new Failure(said, new RolloutException($"{what} failed, exit code {exception.ExitCode}: {said}", hint, ExitCode.Failed, exception));
        }
        catch (TimeoutException exception)
        {
            return new Failure(string.Empty, new RolloutException($"{what} did not end in its time and was stopped: {exception.Message}", hint, ExitCode.Failed, exception));
        }
    }

    private TSettings Helm<TSettings>(TSettings settings)
        where TSettings : HelmSettings
    {
        settings.ToolPath = helm;
        settings.ToolTimeout ??= HelmTime;
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

    /// <summary>A tool that failed: what it complained about, and that in words for a person.</summary>
    private sealed record Failure(string Complaint, RolloutException Problem);
}
