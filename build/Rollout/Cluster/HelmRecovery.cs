using System.Globalization;

namespace Rollout.Cluster;

/// <summary>What is known of the helm that began a pending revision.</summary>
public abstract record HelmOrphan
{
    private HelmOrphan()
    {
    }

    /// <summary>It still runs on this machine.</summary>
    public sealed record Alive(int ProcessId) : HelmOrphan;

    /// <summary>It ran on this machine and has ended.</summary>
    public sealed record Gone : HelmOrphan;

    /// <summary>It may run on another machine.</summary>
    public sealed record Unknown : HelmOrphan;
}

/// <summary>What to do about the newest revision of a release before the next upgrade.</summary>
public abstract record HelmDecision
{
    private HelmDecision()
    {
    }

    /// <summary>Nothing is pending.</summary>
    public sealed record Proceed : HelmDecision;

    /// <summary>helm may still end it; look again, at the latest then.</summary>
    public sealed record Wait(DateTimeOffset Until) : HelmDecision;

    /// <summary>Nobody will end it: its Secret bars every further upgrade and is removed.</summary>
    public sealed record Remove(string Secret) : HelmDecision;

    /// <summary>It is not ours to mend.</summary>
    /// <param name="Why">The fact.</param>
    /// <param name="Hint">What a person does about it.</param>
    public sealed record Refuse(string Why, string Hint) : HelmDecision;
}

/// <summary>
/// A run that was killed leaves its helm working, and a helm that was killed leaves its revision pending, which bars every further upgrade. Removing
/// the revision's Secret lifts the bar: the next upgrade gets the same number and adopts what is there. That is done only under our lock, and only
/// when no helm can be at work on it.
/// </summary>
public static class HelmRecovery
{
    /// <summary>How long a helm that outlives its limit is waited for before a person is called.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(60);

    /// <summary>Decides; looks at nothing itself.</summary>
    /// <param name="newest">The release's newest revision; null where there is none.</param>
    /// <param name="holdsLock">Whether this run holds the cluster's lock, so that no other run's helm can be at work.</param>
    /// <param name="limit">How long a helm takes at most.</param>
    public static HelmDecision Decide(HelmRevision? newest, bool holdsLock, HelmOrphan orphan, TimeSpan limit, DateTimeOffset now)
    {
        if (newest is not { IsPending: true })
        {
            return new HelmDecision.Proceed();
        }

        var seen = $"Revision {newest.Number} ({newest.Secret}) is {newest.Status} since {newest.Begun:HH:mm:ss} UTC";
        if (!holdsLock)
        {
            return new HelmDecision.Refuse(
                $"{seen}, and this run does not hold the lock: another run's helm may be at work on it. Nothing was changed.", "Wait for that run, or look who holds the lock: ./build.sh --target=Status");
        }

        if (orphan is HelmOrphan.Gone)
        {
            return new HelmDecision.Remove(newest.Secret);
        }

        // A revision that began in the future began now at the latest.
        var until = (newest.Begun < now ? newest.Begun : now) + limit;
        if (now < until)
        {
            return new HelmDecision.Wait(until);
        }

        return orphan is not HelmOrphan.Alive(var id) ? new HelmDecision.Remove(newest.Secret)
            : now < until + Grace ? new HelmDecision.Wait(until + Grace)
            : new HelmDecision.Refuse(
                $"{seen}, and its helm, process {id} on this machine, still runs {(now - newest.Begun).TotalSeconds:0} s after it began; its limit was {limit.TotalSeconds:0} s.",
                $"Look what it does and end it, then run the same command again: kill {id}");
    }

    /// <summary>Looks for a helm on this machine that upgrades the release.</summary>
    /// <param name="begunHere">Whether the pending revision is known to have been begun on this machine; else its helm's absence here says nothing.</param>
    /// <param name="kubeconfig">The cluster's kubeconfig: a helm that is seen to use another works on another cluster. Null leaves that open.</param>
    /// <param name="processes">Where the kernel shows processes; nothing is known where that is not there.</param>
    public static HelmOrphan OrphanOf(string release, string @namespace, bool begunHere, string? kubeconfig, string processes = "/proc")
    {
        if (!Directory.Exists(processes))
        {
            return new HelmOrphan.Unknown();
        }

        var hidden = false;
        foreach (var folder in Directory.EnumerateDirectories(processes))
        {
            if (!int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                continue;
            }

            try
            {
                if (IsUpgrade(Words(folder, "cmdline"), release, @namespace) && MayUse(folder, kubeconfig))
                {
                    return new HelmOrphan.Alive(id);
                }
            }
            catch (UnauthorizedAccessException)
            {
                hidden = true;
            }
            catch (IOException)
            {
                // It ended while it was looked at.
            }
        }

        return begunHere && !hidden ? new HelmOrphan.Gone() : new HelmOrphan.Unknown();
    }

    private static bool IsUpgrade(string[] words, string release, string @namespace) =>
        words is [var program, "upgrade", var named, ..] && Path.GetFileName(program) == "helm" && named == release
        && (words.Contains($"--namespace={@namespace}") || words.Zip(words.Skip(1)).Any(p => p is ("--namespace" or "-n", var value) && value == @namespace));

    private static bool MayUse(string folder, string? kubeconfig)
    {
        if (kubeconfig is null)
        {
            return true;
        }

        try
        {
            var theirs = Words(folder, "environ").FirstOrDefault(v => v.StartsWith("KUBECONFIG=", StringComparison.Ordinal))?["KUBECONFIG=".Length..];
            return theirs is null or "" || Path.GetFullPath(theirs) == Path.GetFullPath(kubeconfig);
        }
        catch (UnauthorizedAccessException)
        {
            // Another user's: it may be.
            return true;
        }
    }

    private static string[] Words(string folder, string file) =>
        File.ReadAllText(Path.Combine(folder, file)).Split('\0', StringSplitOptions.RemoveEmptyEntries);
}
