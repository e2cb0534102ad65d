using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Rollout.Monitoring;

namespace Rollout.Platform;

/// <summary>
/// How a call that carries a session reaches a service: the base address under which it answers now. The API server's own proxy will not
/// do.
/// A request with an <c>Authorization</c> header of its own makes kubectl's proxy leave out its credentials, and the API server takes the
/// header off after it has authenticated the request (kubernetes#38775): the session never arrives, but would be shown to the API server.
/// </summary>
public delegate Task<Uri> ServiceRoute(string service, CancellationToken cancellationToken);

/// <summary>Reaches services of one namespace through <c>kubectl port-forward</c>, one process a service, opened when first asked
/// for.</summary>
/// <param name="kubectl">Path of kubectl.</param>
/// <param name="kubeconfig">Null is kubectl's own default.</param>
/// <param name="port">The Service's port.</param>
/// <param name="echo">Told each command line.</param>
public sealed partial class ServiceTunnels(
    string kubectl,
    string? kubeconfig,
    string? context,
    string @namespace,
    string port,
    TimeProvider time,
    Action<string> echo) : IAsyncDisposable
{
    private static readonly TimeSpan OpenLimit = TimeSpan.FromSeconds(20);

    private readonly ConcurrentDictionary<string, Tunnel> _tunnels = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _opening = new(1, 1);

    /// <summary>A <see cref="ServiceRoute"/>. A forward ends with the pod that it leads to; asked again, another one is opened.</summary>
    /// <exception cref="RolloutException">kubectl could not forward; the message carries what it said.</exception>
    public async Task<Uri> OpenAsync(string service, CancellationToken cancellationToken)
    {
        await _opening.WaitAsync(cancellationToken);
        try
        {
            if (_tunnels.TryGetValue(service, out var open))
            {
                if (!open.Process.HasExited)
                {
                    return open.Address;
                }

                _tunnels.TryRemove(service, out _);
                open.Process.Dispose();
            }

            var tunnel = await StartAsync(service, cancellationToken);
            _tunnels[service] = tunnel;
            return tunnel.Address;
        }
        finally
        {
            _opening.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var tunnel in _tunnels.Values)
        {
            await StopAsync(tunnel.Process);
        }

        _tunnels.Clear();
        _opening.Dispose();
    }

    private static async Task StopAsync(Process process)
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }

        process.Dispose();
    }

    [GeneratedRegex(@"Forwarding from 127\.0\.0\.1:(?<port>\d+) ")]
    private static partial Regex ForwardingLine();

    private async Task<Tunnel> StartAsync(string service, CancellationToken cancellationToken)
    {
        List<string> arguments = ["port-forward", "--namespace", @namespace, "--address", "127.0.0.1", $"service/{service}", $":{port}"];
        if (context is not null)
        {
            arguments.InsertRange(0, ["--context", context]);
        }

        echo($"kubectl {string.Join(' ', arguments)}");
        var start = new ProcessStartInfo(kubectl) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        if (kubeconfig is not null)
        {
            start.Environment["KUBECONFIG"] = kubeconfig;
        }

        var process = Process.Start(start)!;
        var found = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var said = new StringBuilder();
        process.OutputDataReceived += (_, line) =>
        {
            if (line.Data is not null && ForwardingLine().Match(line.Data) is { Success: true } match)
            {
                found.TrySetResult(int.Parse(match.Groups["port"].ValueSpan, System.Globalization.CultureInfo.InvariantCulture));
            }
        };
        process.ErrorDataReceived += (_, line) =>
        {
            lock (said)
            {
                said.AppendLine(line.Data);
            }
        };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        using var limit = new CancellationTokenSource(OpenLimit, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        var ended = process.WaitForExitAsync(linked.Token);
        if (await Task.WhenAny(found.Task, ended) == found.Task)
        {
            return new Tunnel(process, new Uri($"http://127.0.0.1:{await found.Task}/"));
        }

        var code = process.HasExited ? $"ended with exit code {process.ExitCode}" : $"did not open within {OpenLimit.TotalSeconds:0} s";
        await StopAsync(process);
        cancellationToken.ThrowIfCancellationRequested();
        lock (said)
        {
            throw new RolloutException($"'kubectl port-forward' to service '{service}' in '{@namespace}' {code}: {said.ToString().Trim()}");
        }
    }

    private sealed record Tunnel(Process Process, Uri Address);
}

/// <summary>Reaches services by the address of one of their pods, where pod addresses answer: in the embedded environment, and inside a
/// cluster.</summary>
/// <param name="cluster">Speaks to the API server.</param>
public sealed class PodAddresses(HttpClient cluster, string @namespace, TimeProvider time)
{
    /// <summary>A <see cref="ServiceRoute"/>: the first ready address behind the Service.</summary>
    /// <exception cref="RolloutException">The Service does not exist, or no pod behind it is ready.</exception>
    public async Task<Uri> FindAsync(string service, CancellationToken cancellationToken)
    {
        var answer = await ProxyAnswer.AskAsync(
            cluster, $"/api/v1/namespaces/{@namespace}/endpoints/{service}", "application/json", TimeSpan.FromSeconds(10), time, cancellationToken);
        if (answer.Code != 200)
        {
            throw new RolloutException($"The addresses of service '{service}' in '{@namespace}' cannot be read: {answer.Describe()}.");
        }

        using var document = JsonDocument.Parse(answer.Body);
        if (document.RootElement.TryGetProperty("subsets", out var subsets) && subsets.ValueKind == JsonValueKind.Array)
        {
            foreach (var subset in subsets.EnumerateArray())
            {
                if (Address(subset) is { } address)
                {
                    return address;
                }
            }
        }

        throw new RolloutException($"No pod behind service '{service}' in '{@namespace}' is ready.");
    }

    private static Uri? Address(JsonElement subset)
    {
        if (!subset.TryGetProperty("addresses", out var addresses) || addresses.GetArrayLength() == 0
            || !subset.TryGetProperty("ports", out var ports) || ports.GetArrayLength() == 0)
        {
            return null;
        }

        var port = ports.EnumerateArray().FirstOrDefault(p => p.TryGetProperty("name", out var name) && name.ValueEquals("http"), ports[0]);
        return new Uri($"http://{addresses[0].GetProperty("ip").GetString()}:{port.GetProperty("port").GetInt32()}/");
    }
}
