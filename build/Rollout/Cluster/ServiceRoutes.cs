using System.Diagnostics;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rollout.Cluster;

/// <summary>
/// Ways to services that want a session. The API server's proxy removes the Authorization header it was given, so an admin call cannot
/// pass through it: it goes to a pod's address where that answers this machine, else through <c>kubectl port-forward</c>.
/// </summary>
/// <param name="podsAnswerDirectly">Whether pod addresses can be reached from here: in the embedded world, or from inside a cluster.</param>
public sealed partial class ServiceRoutes(
    KubernetesCluster cluster, bool podsAnswerDirectly, string kubectl, string? kubeconfig, string? context, TimeProvider time, IProgress<string> progress)
    : IAsyncDisposable
{
    private readonly Dictionary<(string Namespace, string Service), (Process Process, Uri Address)> _forwards = [];
    private readonly SemaphoreSlim _oneAtATime = new(1, 1);

    /// <summary>An address at which the service answers now.</summary>
    /// <exception cref="RolloutException">The service has no ready pod, or the forward does not come up.</exception>
    public async Task<Uri> ToServiceAsync(string @namespace, string service, CancellationToken cancellationToken)
    {
        if (podsAnswerDirectly)
        {
            return await ToPodAsync(@namespace, service, cancellationToken);
        }

        await _oneAtATime.WaitAsync(cancellationToken);
        try
        {
            if (_forwards.TryGetValue((@namespace, service), out var there) && !there.Process.HasExited)
            {
                return there.Address;
            }

            var forward = await ForwardAsync(@namespace, service, cancellationToken);
            _forwards[(@namespace, service)] = forward;
            return forward.Address;
        }
        finally
        {
            _oneAtATime.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (process, _) in _forwards.Values)
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
                await process.WaitForExitAsync();
            }

            process.Dispose();
        }

        _oneAtATime.Dispose();
    }

    [GeneratedRegex(@"Forwarding from (127\.0\.0\.1:\d+)")]
    private static partial Regex Forwarding();

    private async Task<Uri> ToPodAsync(string @namespace, string service, CancellationToken cancellationToken)
    {
        var endpoints = await cluster.GetAsync($"/api/v1/namespaces/{@namespace}/endpoints/{service}", cancellationToken);
        if (endpoints?["subsets"]?[0] is JsonObject subset && subset["addresses"]?[0]?["ip"] is { } ip && subset["ports"]?[0]?["port"] is { } port)
        {
            return new Uri($"http://{ip.GetValue<string>()}:{port.GetValue<int>()}/");
        }

        throw new RolloutException(
            $"Service {@namespace}/{service} has no ready pod.", $"Look: kubectl get pods -n {@namespace} -l app={service}");
    }

    private async Task<(Process Process, Uri Address)> ForwardAsync(string @namespace, string service, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(kubectl) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in new[] { "port-forward", "--address=127.0.0.1", "-n", @namespace, $"service/{service}", ":80" })
        {
            start.ArgumentList.Add(argument);
        }

        if (context is not null)
        {
            start.ArgumentList.Add($"--context={context}");
        }

        if (kubeconfig is not null)
        {
            start.Environment["KUBECONFIG"] = kubeconfig;
        }

        var process = Process.Start(start)!;
        var address = new TaskCompletionSource<Uri>(TaskCreationOptions.RunContinuationsAsynchronously);
        var said = new System.Text.StringBuilder();
        process.OutputDataReceived += (_, line) =>
        {
            if (Forwarding().Match(line.Data ?? string.Empty) is { Success: true } match)
            {
                address.TrySetResult(new Uri($"http://{match.Groups[1].Value}/"));
            }
        };
        process.ErrorDataReceived += (_, line) => said.AppendLine(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        await Waiting.UntilAsync(
            $"kubectl port-forward to {@namespace}/{service}",
            _ => Task.FromResult(address.Task.IsCompleted || process.HasExited),
            over => over,
            _ => said.ToString().Trim(),
            TimeSpan.FromSeconds(20),
            TimeSpan.FromMilliseconds(20),
            time,
            progress,
            cancellationToken);
        return address.Task.IsCompletedSuccessfully
            ? (process, await address.Task)
            : throw new RolloutException($"kubectl port-forward to {@namespace}/{service} ended: {said.ToString().Trim()}");
    }
}
