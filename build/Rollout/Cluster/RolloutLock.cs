using System.Globalization;
using System.Text.Json.Nodes;

namespace Rollout.Cluster;

/// <summary>
/// One rollout at a time per cluster: the Lease <c>aether-rollout</c> in the journal's namespace, renewed in the background from
/// <see cref="AcquireAsync"/> to <see cref="ReleaseAsync"/>. A holder believes in its hold for one duration from the sending of its last
/// successful renewal; another run takes over at the earliest one duration after it received what it then replaces, so the two never overlap,
/// whatever the machines' clocks show. A lock once lost stays lost: what was paused past its time must begin anew.
/// </summary>
/// <param name="http">Speaks to the API server.</param>
/// <param name="actor">Who runs this, <c>USER@HOST</c>.</param>
/// <param name="run">This run's id.</param>
/// <param name="duration">For how long a renewal holds; whole seconds. After each third of it the lock is renewed.</param>
/// <param name="proc">Where the kernel shows this machine's processes.</param>
public sealed class RolloutLock(
    HttpClient http, string @namespace, string actor, string run, TimeSpan duration, TimeProvider time, IProgress<string> progress, string proc = ProcessMark.Proc)
    : IAsyncDisposable
{
    private const string ReleaseKey = "aether.io/release";
    private const string StepKey = "aether.io/step";
    private const string SinceKey = "aether.io/step-since";
    private const string ProcessKey = "aether.io/process";

    /// <summary>Tells two locks of the same process, or of two processes that nothing else tells apart.</summary>
    private const string TokenKey = "aether.io/token";

    private const string LookHint = "Look: ./build.sh --target=Status";
    private const string MicroTime = "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'";
    private const int Rounds = 8;
    private const int UnclearRounds = 3;
    private static readonly TimeSpan Fresh = TimeSpan.FromMilliseconds(100);

    /// <summary>A foreign Lease may claim to hold for days; nobody waits that long for a look.</summary>
    private static readonly TimeSpan LongestWatch = TimeSpan.FromMinutes(10);

    private readonly LeaseEndpoint _endpoint = new(http, @namespace, Patience(duration), time);
    private readonly string _holder = $"{actor}/{run}";
    private readonly string _token = Guid.NewGuid().ToString("N");
    private readonly ProcessMark? _process = ProcessMark.Own(proc);

    // One writer at a time, in this process too: a renewal and a new step must not conflict with each other.
    private readonly SemaphoreSlim _oneWriter = new(1, 1);
    private readonly CancellationTokenSource _lost = new();
    private readonly Lock _state = new();
    private CancellationTokenSource? _stop;
    private Task _renewal = Task.CompletedTask;

    /// <summary>As stored last; null where it must be read before it is written. Of the one writer.</summary>
    private JsonObject? _lease;

    private (string Release, string Step, DateTimeOffset Since) _at = (string.Empty, string.Empty, default);
    private bool _held;
    private Moment _renewed;
    private Moment _read;
    private string? _loss;
    private bool _lossNamesHolder;

    /// <summary>Fires when the lock is lost.</summary>
    public CancellationToken Lost => _lost.Token;

    /// <summary>Whether this run holds the lock as far as it can know without asking: taken, not lost, and renewed within its duration.</summary>
    public bool IsHeld
    {
        get
        {
            lock (_state)
            {
                return _held && _loss is null && !IsPast(_renewed);
            }
        }
    }

    /// <summary>Who holds the lock; null where nobody does.</summary>
    /// <exception cref="RolloutException">The cluster does not answer.</exception>
    public static async Task<LockState?> ReadAsync(
        HttpClient http, string @namespace, TimeProvider time, CancellationToken cancellationToken, string proc = ProcessMark.Proc)
    {
        var endpoint = new LeaseEndpoint(http, @namespace, TimeSpan.FromSeconds(10), time);
        return await LeaseAsync(endpoint, cancellationToken) is { } lease ? StateOf(lease, TimeSpan.Zero, time, proc) : null;
    }

    /// <summary>Takes the lock and keeps it renewed.</summary>
    /// <param name="breakReason">Why it is taken from whoever holds it; null leaves it to a holder that may live.</param>
    /// <exception cref="RolloutException">Exit code 5: another rollout holds it, or this run has lost it. Otherwise the cluster does not answer.</exception>
    public async Task<Acquired> AcquireAsync(string release, string step, string? breakReason, CancellationToken cancellationToken)
    {
        await _oneWriter.WaitAsync(cancellationToken);
        try
        {
            await ThrowIfLostAsync(cancellationToken);
            _at = (release, step, time.GetUtcNow());
            if (_held)
            {
                var own = new Acquired(LockFound.Own, _holder, Annotation(_lease, ReleaseKey), Annotation(_lease, StepKey), _process);
                await RenewAsync(cancellationToken);
                await ThrowIfLostAsync(cancellationToken);
                return own;
            }

            return await TakeAsync(breakReason, cancellationToken);
        }
        finally
        {
            _oneWriter.Release();
        }
    }

    /// <summary>Writes into the Lease which step this run is at, which is a renewal too.</summary>
    /// <exception cref="RolloutException">Exit code 5: the lock is lost. A Lease that cannot be written now is written by the next renewal.</exception>
    public async Task AtAsync(string step, CancellationToken cancellationToken)
    {
        await _oneWriter.WaitAsync(cancellationToken);
        try
        {
            RequireTaken();
            _at = (_at.Release, step, time.GetUtcNow());
            await RenewAsync(cancellationToken);
        }
        finally
        {
            _oneWriter.Release();
        }

        await ThrowIfLostAsync(cancellationToken);
    }

    /// <summary>The fence before an effect and before a write to the journal: returns only while this run holds the lock.</summary>
    /// <exception cref="RolloutException">Exit code 5: the lock is lost, to whom or since when.</exception>
    public async Task RequireAsync(CancellationToken cancellationToken)
    {
        RequireTaken();
        if (!LoseIfPast())
        {
            lock (_state)
            {
                if (_loss is null && _read.IsWithin(Fresh, time))
                {
                    return;
                }
            }

            var answer = await LimitedAsync(_endpoint.ReadAsync, cancellationToken);
            if (answer is { Kind: LeaseAnswerKind.Stored or LeaseAnswerKind.Absent })
            {
                Confirm(answer);
            }
            else if (!LoseIfPast())
            {
                progress.Report($"the lock cannot be read, and holds for another {Left().TotalSeconds:0} s: {answer?.Problem ?? "no answer in time"}");
            }

            // This process may have been stopped while it waited for the answer.
            LoseIfPast();
        }

        await ThrowIfLostAsync(cancellationToken);
    }

    /// <summary>
    /// Gives the lock back if this run still holds it, and leaves in the Lease who had it. Does not fail: a Lease that cannot be written
    /// expires, which <c>progress</c> is told.
    /// </summary>
    public async Task ReleaseAsync(CancellationToken cancellationToken)
    {
        await StopAsync();
        try
        {
            await _oneWriter.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            progress.Report(NotReleased("it was interrupted"));
            return;
        }

        try
        {
            bool held;
            lock (_state)
            {
                held = _held && _loss is null;
                _held = false;
            }

            if (held && await GiveBackAsync(cancellationToken) is { } problem)
            {
                progress.Report(NotReleased(problem));
            }
        }
        finally
        {
            _oneWriter.Release();
        }
    }

    /// <summary>Stops the renewal; the lock is not released.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _stop?.Dispose();
        _stop = null;
        _oneWriter.Dispose();
    }

    private async Task<Acquired> TakeAsync(string? breakReason, CancellationToken cancellationToken)
    {
        Acquired? intended = null;
        var unclear = 0;
        for (var round = 0; round < Rounds; round++)
        {
            var lease = await LeaseAsync(_endpoint, cancellationToken);

            // Where the answer to a write was lost, the Lease says that it was done; writing once more tells until when it holds.
            if (lease is null || !IsOurs(lease))
            {
                intended = await JudgeAsync(lease, breakReason, cancellationToken);
            }

            if (intended is null && lease is not null && !IsOurs(lease))
            {
                continue;
            }

            intended ??= new Acquired(LockFound.Own, _holder, Annotation(lease, ReleaseKey), Annotation(lease, StepKey), _process);

            // Not cut off by cancellation: it would leave unknown whether the lock is taken.
            var answer = await _endpoint.WriteAsync(Claim(lease), CancellationToken.None);
            if (answer.Kind == LeaseAnswerKind.Stored && !IsPast(answer.Sent))
            {
                Begin(answer);
                return intended;
            }

            // A creation finds nothing only where the API server knows no Leases.
            if (answer.Kind == LeaseAnswerKind.Refused
                || (answer.Kind == LeaseAnswerKind.Absent && lease is null)
                || (answer.Kind == LeaseAnswerKind.Unclear && ++unclear == UnclearRounds))
            {
                throw Unanswered(answer);
            }
        }

        throw new RolloutException(
            $"The lock changed {Rounds} times while this run tried to take it: others want it too. Nothing was changed.", LookHint, ExitCode.Refused);
    }

    // What taking this Lease would mean; null where it changed meanwhile and has to be looked at again.
    private async Task<Acquired?> JudgeAsync(JsonObject? lease, string? breakReason, CancellationToken cancellationToken)
    {
        var state = lease is null ? null : StateOf(lease, duration, time, proc);
        if (state is null)
        {
            return new Acquired(LockFound.Free, null, Annotation(lease, ReleaseKey), Annotation(lease, StepKey), ProcessMark.Parse(Annotation(lease, ProcessKey)));
        }

        LockFound how;
        if (state.Process is not null && state.Process == _process)
        {
            how = LockFound.Own;
        }
        else if (state.IsDead)
        {
            how = LockFound.Dead;
        }
        else if (breakReason is not null)
        {
            how = LockFound.Broken;
        }
        else if (state.Renewed is not null && !state.IsExpired && state.Renewed - time.GetUtcNow() <= state.Duration)
        {
            throw Refusal(state, null);
        }
        else if (await WatchAsync(lease!, state, cancellationToken))
        {
            how = LockFound.Expired;
        }
        else
        {
            return null;
        }

        return new Acquired(how, Text(lease, "spec", "holderIdentity"), state.Release, state.Step, state.Process);
    }

    // Clocks of two machines may differ by minutes: only a Lease that stays as it is for its whole duration, by one clock, is abandoned.
    private async Task<bool> WatchAsync(JsonObject lease, LockState state, CancellationToken cancellationToken)
    {
        if (state.Duration > LongestWatch)
        {
            throw Refusal(state, $"It claims to hold for {Waiting.Words(state.Duration)}, which is not waited for.");
        }

        var start = time.GetTimestamp();
        var interval = TimeSpan.FromTicks(Math.Min(state.Duration.Ticks / 10, Waiting.QuietTime.Ticks));
        var told = TimeSpan.MinValue;
        while (time.GetElapsedTime(start) is var elapsed && elapsed < state.Duration)
        {
            if (told == TimeSpan.MinValue || elapsed - told >= Waiting.QuietTime)
            {
                told = elapsed;
                progress.Report(
                    $"watching whether the lock's holder still lives ({elapsed.TotalSeconds:0} s of {state.Duration.TotalSeconds:0} s): {state.Describe(time.GetUtcNow())}");
            }

            await Task.Delay(interval, time, cancellationToken);
            var now = await LeaseAsync(_endpoint, cancellationToken);
            if (now is null || Version(now) == Version(lease))
            {
                if (now is null)
                {
                    return false;
                }

                continue;
            }

            if (!IsOurs(now) && StateOf(now, duration, time, proc) is { IsDead: false } held)
            {
                throw Refusal(held, "It was renewed while this run watched, so its holder lives; the two machines' clocks differ.");
            }

            return false;
        }

        return true;
    }

    private RolloutException Refusal(LockState state, string? remark)
    {
        var now = time.GetUtcNow();
        var renewed = state.Renewed is { } at ? now - at : (TimeSpan?)null;
        var missed = renewed is null || renewed > state.Duration / 2;
        var hint = missed
            ? "It has missed a renewal. Wait for it, or look: ./build.sh --target=Status. If that run is known to be dead, take its lock: --break-lock=REASON"
            : "Wait until it has ended, and look: ./build.sh --target=Status. Only if that run is known to be dead: --break-lock=REASON";
        return new RolloutException(
            $"Another rollout holds the lock: {state.Describe(now)}. {remark}{(remark is null ? string.Empty : " ")}Nothing was changed.", hint, ExitCode.Refused);
    }

    private void Begin(LeaseAnswer answer)
    {
        Adopt(answer);
        lock (_state)
        {
            _held = true;
        }

        _stop?.Dispose();
        _stop = new CancellationTokenSource();
        _renewal = RenewUntilStoppedAsync(_stop.Token);
    }

    private async Task RenewUntilStoppedAsync(CancellationToken stop)
    {
        var third = duration / 3;
        var renewed = true;
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var pause = renewed ? third : third / 4;
                var left = Left();
                await Task.Delay(pause < left ? pause : TimeSpan.FromTicks(Math.Max(left.Ticks, TimeSpan.TicksPerMillisecond)), time, stop);
                await _oneWriter.WaitAsync(stop);
                try
                {
                    renewed = await RenewAsync(stop);
                }
                finally
                {
                    _oneWriter.Release();
                }

                lock (_state)
                {
                    if (_loss is not null)
                    {
                        return;
                    }
                }
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                // Whatever it is, the time limit judges it: nobody awaits this task while the rollout runs.
                renewed = false;
                progress.Report($"the lock could not be renewed: {exception.Message}");
                LoseIfPast();
            }
        }
    }

    /// <summary>Renews once. False where that failed, and where the lock is lost.</summary>
    private async Task<bool> RenewAsync(CancellationToken cancellationToken)
    {
        string? problem = null;
        for (var round = 0; round < UnclearRounds && !LoseIfPast(); round++)
        {
            if (_lease is null)
            {
                var seen = await LimitedAsync(_endpoint.ReadAsync, cancellationToken);
                if (seen is not { Kind: LeaseAnswerKind.Stored or LeaseAnswerKind.Absent })
                {
                    problem = seen?.Problem ?? problem;
                    break;
                }

                if (!Confirm(seen))
                {
                    return false;
                }

                _lease = seen.Lease;
            }

            var lease = Write(_lease!);
            _lease = null;
            var answer = await LimitedAsync(token => _endpoint.WriteAsync(lease, token), cancellationToken);
            if (answer is { Kind: LeaseAnswerKind.Stored })
            {
                Adopt(answer);
                return !LoseIfPast();
            }

            problem = answer?.Problem ?? problem;
            if (answer is { Kind: LeaseAnswerKind.Refused })
            {
                break;
            }
        }

        if (!LoseIfPast())
        {
            progress.Report($"the lock could not be renewed, and holds for another {Left().TotalSeconds:0} s: {problem ?? "no answer in time"}");
        }

        return false;
    }

    private async Task<string?> GiveBackAsync(CancellationToken cancellationToken)
    {
        // A cluster that does not answer must not keep a finished run; nor one that was interrupted.
        using var limit = new CancellationTokenSource(Patience(duration) * 2, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        string? problem = null;
        try
        {
            for (var round = 0; round < UnclearRounds; round++)
            {
                if (_lease is null)
                {
                    var seen = await _endpoint.ReadAsync(either.Token);
                    if (seen.Kind is not (LeaseAnswerKind.Stored or LeaseAnswerKind.Absent))
                    {
                        return seen.Problem;
                    }

                    if (seen.Lease is null || !IsOurs(seen.Lease))
                    {
                        return null;
                    }

                    _lease = seen.Lease;
                }

                // The API server refuses an empty name; a Lease without one is free.
                var lease = _lease;
                _lease = null;
                ((JsonObject)lease["spec"]!).Remove("holderIdentity");
                var answer = await _endpoint.WriteAsync(lease, either.Token);
                if (answer.Kind is LeaseAnswerKind.Stored or LeaseAnswerKind.Absent)
                {
                    return null;
                }

                problem = answer.Problem;
            }

            return problem;
        }
        catch (OperationCanceledException)
        {
            return problem ?? "there was no answer in time";
        }
    }

    private string NotReleased(string problem) =>
        $"the lock could not be given back ({problem.TrimEnd('.')}); it expires by itself within {Waiting.Words(duration)}";

    private async Task StopAsync()
    {
        _stop?.Cancel();
        await _renewal;
    }

    /// <summary>Asks for no longer than the lock holds; null where that was too short.</summary>
    private async Task<LeaseAnswer?> LimitedAsync(Func<CancellationToken, Task<LeaseAnswer>> ask, CancellationToken cancellationToken)
    {
        var left = Left();
        using var limit = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
        try
        {
            return await ask(either.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Whether a Lease that was read is still this run's; where it is not, the lock is lost.</summary>
    private bool Confirm(LeaseAnswer answer)
    {
        if (answer.Lease is { } lease && IsOurs(lease))
        {
            lock (_state)
            {
                _read = answer.Sent;
            }

            return true;
        }

        var other = answer.Lease is null ? null : StateOf(answer.Lease, duration, time, proc);
        Lose(
            answer.Lease is null ? "the Lease was deleted"
            : other is null ? "somebody emptied the Lease"
            : $"{other.Describe(time.GetUtcNow())}",
            namesHolder: true);
        return false;
    }

    private void Adopt(LeaseAnswer answer)
    {
        _lease = answer.Lease;
        lock (_state)
        {
            // From the sending: the server may have written it at any time after that.
            _renewed = _read = answer.Sent;
        }
    }

    private bool LoseIfPast()
    {
        Moment renewed;
        lock (_state)
        {
            if (_loss is not null)
            {
                return true;
            }

            renewed = _renewed;
        }

        if (!IsPast(renewed))
        {
            return false;
        }

        Lose($"it was renewed last at {renewed.Wall:HH:mm:ss} UTC, {Waiting.Words(renewed.Age(time))} ago, and holds for {Waiting.Words(duration)}", namesHolder: false);
        return true;
    }

    private void Lose(string how, bool namesHolder)
    {
        lock (_state)
        {
            if (_loss is not null)
            {
                return;
            }

            (_loss, _lossNamesHolder) = (how, namesHolder);
        }

        // Cancels at once; what others do about it must not keep this caller.
        _ = _lost.CancelAsync();
    }

    private async Task ThrowIfLostAsync(CancellationToken cancellationToken)
    {
        lock (_state)
        {
            if (_loss is null)
            {
                return;
            }
        }

        if (!_lossNamesHolder)
        {
            // One look, for the message only: whose is it now?
            using var limit = new CancellationTokenSource(Patience(duration), time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
            try
            {
                var seen = await _endpoint.ReadAsync(either.Token);
                lock (_state)
                {
                    if (!_lossNamesHolder && seen.Lease is { } lease && !IsOurs(lease) && StateOf(lease, duration, time, proc) is { } other)
                    {
                        _loss += $"; {other.Describe(time.GetUtcNow())}";
                    }

                    _lossNamesHolder = true;
                }
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // Then the message says only since when.
            }
        }

        throw new RolloutException($"This run has lost the lock: {_loss}. It does nothing more.", LookHint, ExitCode.Refused);
    }

    private void RequireTaken()
    {
        lock (_state)
        {
            if (!_held && _loss is null)
            {
                throw new InvalidOperationException("The lock was not taken, or was given back, before an effect.");
            }
        }
    }

    private bool IsPast(Moment moment) => moment.Age(time) >= duration;

    private TimeSpan Left()
    {
        lock (_state)
        {
            return duration - _renewed.Age(time);
        }
    }

    private bool IsOurs(JsonObject lease) => Text(lease, "spec", "holderIdentity") == _holder && Annotation(lease, TokenKey) == _token;

    private JsonObject Claim(JsonObject? lease)
    {
        lease ??= new JsonObject
        {
            ["apiVersion"] = "coordination.k8s.io/v1",
            ["kind"] = "Lease",
            ["metadata"] = new JsonObject
            {
                ["name"] = LeaseEndpoint.Name,
                ["namespace"] = @namespace,
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" },
            },
        };
        var spec = Child(lease, "spec");
        var before = spec["leaseTransitions"] is JsonValue value && value.TryGetValue<int>(out var count) && count is >= 0 and < int.MaxValue ? count : 0;
        spec["leaseTransitions"] = IsOurs(lease) ? before : before + 1;
        spec["acquireTime"] = time.GetUtcNow().ToString(MicroTime, CultureInfo.InvariantCulture);
        return Write(lease);
    }

    // What others added to the Lease stays.
    private JsonObject Write(JsonObject lease)
    {
        var spec = Child(lease, "spec");
        spec["holderIdentity"] = _holder;
        spec["leaseDurationSeconds"] = (int)Math.Ceiling(duration.TotalSeconds);
        spec["renewTime"] = time.GetUtcNow().ToString(MicroTime, CultureInfo.InvariantCulture);
        var annotations = Child(Child(lease, "metadata"), "annotations");
        annotations[ReleaseKey] = _at.Release;
        annotations[StepKey] = _at.Step;
        annotations[SinceKey] = _at.Since.ToString(MicroTime, CultureInfo.InvariantCulture);
        annotations[ProcessKey] = _process?.ToString() ?? string.Empty;
        annotations[TokenKey] = _token;
        return lease;
    }

    private static JsonObject Child(JsonObject parent, string name)
    {
        if (parent[name] is JsonObject child)
        {
            return child;
        }

        var made = new JsonObject();
        parent[name] = made;
        return made;
    }

    private static TimeSpan Patience(TimeSpan duration) => TimeSpan.FromTicks(Math.Min(duration.Ticks / 6, TimeSpan.FromSeconds(10).Ticks));

    private static async Task<JsonObject?> LeaseAsync(LeaseEndpoint endpoint, CancellationToken cancellationToken)
    {
        var answer = await endpoint.ReadAsync(cancellationToken);
        return answer.Kind is LeaseAnswerKind.Stored or LeaseAnswerKind.Absent ? answer.Lease : throw Unanswered(answer);
    }

    private static RolloutException Unanswered(LeaseAnswer answer) => answer.Kind == LeaseAnswerKind.Refused
        ? new($"The lock is out of reach. {answer.Problem}", "The kubeconfig's user has to get, create and update Leases (coordination.k8s.io) in the journal's namespace.")
        : new($"The lock is out of reach. {answer.Problem}", "The same command tries again.");

    /// <summary>What the Lease says; null where nobody holds it.</summary>
    private static LockState? StateOf(JsonObject lease, TimeSpan otherwise, TimeProvider time, string proc)
    {
        if (Text(lease, "spec", "holderIdentity") is not { Length: > 0 } identity)
        {
            return null;
        }

        var slash = identity.LastIndexOf('/');
        var process = ProcessMark.Parse(Annotation(lease, ProcessKey));
        var renewed = Time(Text(lease, "spec", "renewTime"));
        var holds = (lease["spec"] as JsonObject)?["leaseDurationSeconds"] is JsonValue value && value.TryGetValue<int>(out var seconds) && seconds > 0
            ? TimeSpan.FromSeconds(seconds)
            : otherwise;
        return new LockState(
            slash < 0 ? identity : identity[..slash],
            slash < 0 ? null : identity[(slash + 1)..],
            Annotation(lease, ReleaseKey),
            Annotation(lease, StepKey),
            Time(Annotation(lease, SinceKey)),
            Time(Text(lease, "spec", "acquireTime")),
            renewed,
            holds,
            process,
            renewed is { } at && time.GetUtcNow() - at > holds,
            process?.IsDead(proc) ?? false);
    }

    private static DateTimeOffset? Time(string? text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var moment) ? moment : null;

    private static string? Version(JsonObject lease) => Text(lease, "metadata", "resourceVersion");

    private static string? Annotation(JsonObject? lease, string key) =>
        Text((lease?["metadata"] as JsonObject)?["annotations"] as JsonObject, key) is { Length: > 0 } text ? text : null;

    private static string? Text(JsonObject? parent, string child, string name) => Text(parent?[child] as JsonObject, name);

    private static string? Text(JsonObject? parent, string name) => parent?[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
