using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

internal enum ContainerRole
{
    /// <summary>Runs to its end before the next.</summary>
    Init,

    /// <summary>An init container that stays (restartPolicy Always).</summary>
    Sidecar,

    Main,
}

/// <summary>One container of one pod: pulled, configured, started, probed, restarted, stopped.</summary>
internal sealed class ContainerWorker
{
    private static readonly TimeSpan FirstBackOff = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LastBackOff = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan Forgotten = TimeSpan.FromMinutes(10);

    private readonly NodeServices _node;
    private readonly PodWorker _pod;
    private readonly JsonObject _spec;
    private readonly ContainerRole _role;
    private readonly string _field;
    private readonly TaskCompletionSource _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ContainerSnapshot _snapshot;
    private TaskCompletionSource _signalled = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="earlier">Its status from an earlier run of the world, in which it was killed without notice.</param>
    public ContainerWorker(NodeServices node, PodWorker pod, JsonObject spec, ContainerRole role, JsonObject? earlier)
    {
        _node = node;
        _pod = pod;
        _spec = spec;
        _role = role;
        Name = spec.Text("name")!;
        _field = $"spec.{(role == ContainerRole.Main ? "containers" : "initContainers")}{{{Name}}}";
        var restarts = earlier.Number("restartCount") ?? 0;
        _snapshot = new ContainerSnapshot(
            Name,
            Image,
            "",
            null,
            new ContainerState.Waiting(pod.HasInitContainers ? "PodInitializing" : "ContainerCreating"),
            earlier.At("lastState") as JsonObject ?? [],
            restarts,
            Started: false,
            Ready: false,
            Over: false);
        if (Ended(earlier) is not { } ended)
        {
            return;
        }

        var over = !RunsAgain(ended.ExitCode);
        _snapshot = over
            ? _snapshot with { State = ended, ImageId = ImageReference.Identity(Image), ContainerId = ended.ContainerId, Over = true }
            : _snapshot with { LastState = ended.ToJson(), Restarts = restarts + 1 };
    }

    public string Name { get; }

    public ContainerRole Role => _role;

    public ContainerSnapshot Snapshot => Volatile.Read(ref _snapshot);

    public ContainerLog? CurrentLog { get; private set; }

    public ContainerLog? PreviousLog { get; private set; }

    /// <summary>Where commands run; null while the container does not.</summary>
    public ContainerPlace? Place { get; private set; }

    /// <summary>Ends when the container has started for the first time (its startup probe included).</summary>
    public Task Started => _started.Task;

    private string Image => _spec.Text("image") ?? "";

    private EventRecorder Events => _node.Context.Events;

    private TimeProvider Time => _node.Context.Time;

    /// <summary>What a signal to its first process does: the container ends as by itself, and its restart policy decides.</summary>
    public void Signal() => Volatile.Read(ref _signalled).TrySetResult();

    /// <summary>Lives until the container has ended for good, or has been stopped.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            var crashes = 0;
            while (!Snapshot.Over)
            {
                var image = await PullAsync(stop);
                var start = await ConfigureAsync(stop);
                var began = _node.Context.Now;
                await RunOnceAsync(image, start, stop);
                if (stop.IsCancellationRequested || Snapshot.Over)
                {
                    break;
                }

                crashes = _node.Context.Now - began > Forgotten ? 1 : crashes + 1;
                await BackOffAsync(crashes, stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped while it waited for something; there is nothing to end.
        }
    }

    /// <summary>How its run before this process ended: with that process, or before it, which matters where it may not run again.</summary>
    private ContainerState.Terminated? Ended(JsonObject? earlier)
    {
        const int Unknown = 255;
        if (earlier.At("state", "running") is { } running)
        {
            return new ContainerState.Terminated(
                Unknown, "Unknown", null, running.Instant("startedAt"), _node.Context.Now, earlier.Text("containerID"));
        }

        // Init containers of a pod that has not ended run again, as after the restart of a node.
        return _role == ContainerRole.Main && earlier.At("state", "terminated") is { } terminated
            ? new ContainerState.Terminated(
                terminated.Number("exitCode") ?? Unknown,
                terminated.Text("reason") ?? "Error",
                terminated.Text("message"),
                terminated.Instant("startedAt"),
                terminated.Instant("finishedAt"),
                earlier.Text("containerID"))
            : null;
    }

    private void Set(Func<ContainerSnapshot, ContainerSnapshot> change)
    {
        Volatile.Write(ref _snapshot, change(_snapshot));
        _pod.Changed();
    }

    private void Wait(string reason, string? message) =>
        Set(snapshot => snapshot with { State = new ContainerState.Waiting(reason, message), Started = false, Ready = false });

    private bool RunsAgain(int exitCode) => _role switch
    {
        ContainerRole.Sidecar => true,
        ContainerRole.Init => exitCode != 0 && _pod.RestartPolicy != "Never",
        _ => _pod.RestartPolicy == "Always" || (_pod.RestartPolicy == "OnFailure" && exitCode != 0),
    };

    private async Task<ContainerImage> PullAsync(CancellationToken stop)
    {
        var delay = FirstBackOff;
        while (true)
        {
            if (_node.Images(Image) is { } image)
            {
                Events.Normal(Kubelet.Component, _pod.Latest, "Pulled", $"Container image \"{Image}\" already present on machine", _field);
                return image;
            }

            if (_spec.Text("imagePullPolicy") == "Never")
            {
                var absent = $"Container image \"{Image}\" is not present with pull policy of Never";
                Events.Warning(Kubelet.Component, _pod.Latest, "ErrImageNeverPull", absent, _field);
                Events.Warning(Kubelet.Component, _pod.Latest, "Failed", "Error: ErrImageNeverPull", _field);
                Wait("ErrImageNeverPull", absent);
                await Task.Delay(FirstBackOff, Time, stop);
                continue;
            }

            var failure = $"failed to pull and unpack image \"{Image}\": not found";
            Events.Normal(Kubelet.Component, _pod.Latest, "Pulling", $"Pulling image \"{Image}\"", _field);
            Events.Warning(Kubelet.Component, _pod.Latest, "Failed", $"Failed to pull image \"{Image}\": {failure}", _field);
            Events.Warning(Kubelet.Component, _pod.Latest, "Failed", "Error: ErrImagePull", _field);
            Wait("ErrImagePull", failure);
            await Task.Delay(TimeSpan.FromSeconds(1), Time, stop);
            Events.Normal(Kubelet.Component, _pod.Latest, "BackOff", $"Back-off pulling image \"{Image}\"", _field);
            Events.Warning(Kubelet.Component, _pod.Latest, "Failed", "Error: ImagePullBackOff", _field);
            Wait("ImagePullBackOff", $"Back-off pulling image \"{Image}\": ErrImagePull: {failure}");
            await Task.Delay(delay, Time, stop);
            delay = TimeSpan.FromTicks(Math.Min(LastBackOff.Ticks, delay.Ticks * 2));
        }
    }

    private async Task<ContainerStart> ConfigureAsync(CancellationToken stop)
    {
        while (true)
        {
            var news = _pod.NextConfiguration;
            try
            {
                return Configure();
            }
            catch (ConfigurationMissingException missing)
            {
                Events.Warning(Kubelet.Component, _pod.Latest, "Failed", "Error: " + missing.Message, _field);
                Wait("CreateContainerConfigError", missing.Message);
            }

            await news.WaitAsync(stop);
        }
    }

    private ContainerStart Configure()
    {
        var pod = _pod.Latest;
        var environment = ContainerEnvironment.Resolve(_node.Context.Store, pod, _spec, _pod.Ip, _node.Context.Node);
        var mounts = _pod.Volumes.MountsOf(pod, _spec, environment);
        var root = _pod.Volumes.PrepareRoot(Name, mounts);
        var work = root + (_spec.Text("workingDir") ?? "/");
        Directory.CreateDirectory(work);
        Place = new ContainerPlace(root, Path.GetFullPath(work).TrimEnd('/'), environment);
        var log = new ContainerLog(Time);
        (PreviousLog, CurrentLog) = (CurrentLog, log);
        return new ContainerStart(
            pod.Namespace()!,
            pod.Name(),
            pod.Uid(),
            _pod.Ip,
            Name,
            Image,
            _spec.Strings("command").Select(word => ContainerEnvironment.Expand(word, environment)).ToList(),
            _spec.Strings("args").Select(word => ContainerEnvironment.Expand(word, environment)).ToList(),
            environment,
            mounts,
            root,
            _spec.Items("ports").Select(port => port.Number("containerPort")).OfType<int>().ToList(),
            log.Write);
    }

    private async Task RunOnceAsync(ContainerImage image, ContainerStart start, CancellationToken stop)
    {
        var log = CurrentLog!;
        var since = _node.Context.Now;
        var id = "rehearsal://" + Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));
        Events.Normal(Kubelet.Component, _pod.Latest, "Created", $"Created container: {Name}", _field);
        IRunningContainer running;
        try
        {
            running = _role == ContainerRole.Init && start.Command.Count > 0
                ? new CommandContainer(Place!, [.. start.Command, .. start.Args], log)
                : await image(start, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            throw;
        }
#pragma warning disable CA1031 // Whatever an image throws is a container that did not start, which the pod's status and events say.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Events.Warning(Kubelet.Component, _pod.Latest, "Failed", "Error: " + failure.Message, _field);
            log.Write(failure.ToString());
            log.End();
            Terminate(new ContainerState.Terminated(128, "StartError", failure.Message, since, _node.Context.Now, id));
            return;
        }

        Events.Normal(Kubelet.Component, _pod.Latest, "Started", $"Started container {Name}", _field);
        var hasStartup = _spec["startupProbe"] is JsonObject;
        Set(snapshot => snapshot with
        {
            State = new ContainerState.Running(since),
            ImageId = ImageReference.Identity(Image),
            ContainerId = id,
            Started = !hasStartup,
            Ready = !hasStartup && _spec["readinessProbe"] is not JsonObject,
        });
        if (!hasStartup)
        {
            _started.TrySetResult();
        }

        var unhealthy = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var signalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _signalled, signalled);
        using var life = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using (stop.Register(() => stopped.TrySetResult()))
        {
            var probing = ProbeAsync(unhealthy, life.Token);
            await Task.WhenAny(running.Completion, unhealthy.Task, stopped.Task, signalled.Task);
            await life.CancelAsync();
            await probing;
        }

        var asked = !running.Completion.IsCompleted;
        if (asked && signalled.Task.IsCompleted && !stop.IsCancellationRequested)
        {
            await DisposeAsync(running, _pod.Grace, _node.Shutdown);
        }
        else if (asked)
        {
            await StopAsync(running, unhealthy.Task.IsCompleted && !stop.IsCancellationRequested ? unhealthy.Task.Result : null);
        }

        await EndAsync(running, log, since, id, asked);
    }

    private async Task StopAsync(IRunningContainer running, string? unhealthy)
    {
        if (_node.Shutdown.IsCancellationRequested)
        {
            await DisposeAsync(running, TimeSpan.FromSeconds(5), CancellationToken.None);
            return;
        }

        Events.Normal(Kubelet.Component, _pod.Latest, "Killing", unhealthy ?? $"Stopping container {Name}", _field);
        var grace = _pod.Grace;
        var until = _node.Context.Now + grace;
        if (unhealthy is null)
        {
            await _pod.LeaveEndpointsAsync();
        }

        if (_spec.At("lifecycle", "preStop") is JsonObject hook && grace > TimeSpan.Zero)
        {
            if (await _node.Probes.TryAsync(hook, _spec, Place!, _pod.Ip, grace, _node.Shutdown) is { } failure)
            {
                Events.Warning(Kubelet.Component, _pod.Latest, "FailedPreStopHook", "PreStopHook failed: " + failure, _field);
            }
        }

        var remaining = until - _node.Context.Now;
        await DisposeAsync(running, remaining > TimeSpan.Zero ? remaining : TimeSpan.Zero, _node.Shutdown);
    }

    private async Task DisposeAsync(IRunningContainer running, TimeSpan grace, CancellationToken hurry)
    {
        try
        {
            await running.DisposeAsync().AsTask().WaitAsync(grace, Time, hurry);
        }
        catch (Exception late) when (late is TimeoutException or OperationCanceledException)
        {
            // Its grace is over, or the world's; it is left behind where a real kubelet kills it.
        }
#pragma warning disable CA1031 // A container that fails while it ends has ended; the log keeps why.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            CurrentLog?.Write(failure.ToString());
        }
    }

    private async Task EndAsync(IRunningContainer running, ContainerLog log, DateTimeOffset since, string id, bool asked)
    {
        const int Killed = 137;
        const int Crashed = 1;
        string? message = null;
        var code = Killed;
        if (running.Completion.IsCompleted)
        {
            try
            {
                code = await running.Completion;
            }
#pragma warning disable CA1031 // A container that throws has crashed: exit code 1, and the log says why.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                code = failure is OperationCanceledException && asked ? Killed : Crashed;
                message = failure.Message;
                log.Write(failure.ToString());
            }
        }

        if (!asked)
        {
            await DisposeAsync(running, TimeSpan.FromSeconds(30), _node.Shutdown);
        }

        log.End();
        Terminate(new ContainerState.Terminated(code, code == 0 ? "Completed" : "Error", message, since, _node.Context.Now, id));
    }

    private void Terminate(ContainerState.Terminated state)
    {
        var over = !RunsAgain(state.ExitCode);
        Set(snapshot => snapshot with { State = state, Started = false, Ready = false, Over = over });
    }

    private async Task BackOffAsync(int crashes, CancellationToken stop)
    {
        var last = (ContainerState.Terminated)Snapshot.State;
        if (crashes > 1)
        {
            var delay = TimeSpan.FromTicks(Math.Min(LastBackOff.Ticks, FirstBackOff.Ticks << Math.Min(crashes - 2, 10)));
            var pod = $"{_pod.Latest.Name()}_{_pod.Latest.Namespace()}({_pod.Uid})";
            Events.Warning(Kubelet.Component, _pod.Latest, "BackOff", $"Back-off restarting failed container {Name} in pod {pod}", _field);
            var why = $"back-off {Human(delay)} restarting failed container={Name} pod={pod}";
            var waiting = new ContainerState.Waiting("CrashLoopBackOff", why);
            Set(snapshot => snapshot with { State = waiting, LastState = last.ToJson() });
            await Task.Delay(delay, Time, stop);
        }

        Volatile.Write(ref _snapshot, _snapshot with { LastState = last.ToJson(), Restarts = _snapshot.Restarts + 1 });
    }

    private static string Human(TimeSpan delay) =>
        delay.TotalMinutes >= 1 ? $"{(int)delay.TotalMinutes}m{delay.Seconds}s" : $"{(int)delay.TotalSeconds}s";

    private async Task ProbeAsync(TaskCompletionSource<string> unhealthy, CancellationToken life)
    {
        try
        {
            if (_spec["startupProbe"] is JsonObject startup)
            {
                if (!await StartupAsync(startup, unhealthy, life))
                {
                    return;
                }

                _started.TrySetResult();
                Set(snapshot => snapshot with { Started = true, Ready = _spec["readinessProbe"] is not JsonObject });
            }

            await Task.WhenAll(
                _spec["readinessProbe"] is JsonObject readiness ? WatchReadinessAsync(readiness, life) : Task.CompletedTask,
                _spec["livenessProbe"] is JsonObject liveness ? WatchLivenessAsync(liveness, unhealthy, life) : Task.CompletedTask);
        }
        catch (OperationCanceledException) when (life.IsCancellationRequested)
        {
            // The container has ended or is being stopped.
        }
    }

    private async Task<bool> StartupAsync(JsonObject probe, TaskCompletionSource<string> unhealthy, CancellationToken life)
    {
        await foreach (var (good, times) in ResultsAsync("Startup", probe, life))
        {
            if (good)
            {
                return true;
            }

            if (times >= (probe.Number("failureThreshold") ?? 3))
            {
                unhealthy.TrySetResult($"Container {Name} failed startup probe, will be restarted");
                return false;
            }
        }

        return false;
    }

    private async Task WatchReadinessAsync(JsonObject probe, CancellationToken life)
    {
        await foreach (var (good, times) in ResultsAsync("Readiness", probe, life))
        {
            if (times >= (good ? probe.Number("successThreshold") ?? 1 : probe.Number("failureThreshold") ?? 3) && Snapshot.Ready != good)
            {
                Set(snapshot => snapshot with { Ready = good });
            }
        }
    }

    private async Task WatchLivenessAsync(JsonObject probe, TaskCompletionSource<string> unhealthy, CancellationToken life)
    {
        await foreach (var (good, times) in ResultsAsync("Liveness", probe, life))
        {
            if (!good && times >= (probe.Number("failureThreshold") ?? 3))
            {
                unhealthy.TrySetResult($"Container {Name} failed liveness probe, will be restarted");
                return;
            }
        }
    }

    /// <summary>Each result with how many times in a row it has come; never ends by itself.</summary>
    private async IAsyncEnumerable<(bool Good, int Times)> ResultsAsync(
        string kind, JsonObject probe, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken life)
    {
        var period = TimeSpan.FromSeconds(Math.Max(1, probe.Number("periodSeconds") ?? 10));
        var timeout = TimeSpan.FromSeconds(Math.Max(1, probe.Number("timeoutSeconds") ?? 1));
        var times = 0;
        bool? last = null;
        if (probe.Number("initialDelaySeconds") is { } delay and > 0)
        {
            await Task.Delay(TimeSpan.FromSeconds(delay), Time, life);
        }

        while (true)
        {
            var failure = await _node.Probes.TryAsync(probe, _spec, Place!, _pod.Ip, timeout, life);
            life.ThrowIfCancellationRequested();
            var good = failure is null;
            if (!good)
            {
                Events.Warning(Kubelet.Component, _pod.Latest, "Unhealthy", $"{kind} probe failed: {failure}", _field);
            }

            times = last == good ? times + 1 : 1;
            last = good;
            yield return (good, times);
            await Task.Delay(period, Time, life);
        }
    }
}
