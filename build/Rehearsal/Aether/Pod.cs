using System.Collections.Concurrent;
using System.Globalization;
using Rehearsal.Aether.Metrics;

namespace Rehearsal.Aether;

/// <summary>One container from the inside: who it is, its environment, its files, and which faults befall it.</summary>
internal sealed class Pod
{
    /// <summary>Where the image's programs are started; relative paths of the platform start here.</summary>
    public const string WorkingDirectory = "/app";

    private static readonly string[] DefaultAccounts = ["company", "director-1", "director-2"];

    public Pod(StandInStart start, string workload, World world)
    {
        Start = start;
        Workload = workload;
        World = world;
        Slot = Env("AETHER_SLOT") ?? start.Namespace[(start.Namespace.LastIndexOf('-') + 1)..];
        Release = Env("AETHER_RELEASE") ?? Tag(start.Image);
        TraceEndpoint = Env("OTEL_EXPORTER_OTLP_ENDPOINT");
        if (TraceEndpoint is not null && Env("OTEL_EXPORTER_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_CERTIFICATE") is not null)
        {
            // The platform hands both to an exporter that takes neither, and goes on without tracing.
            Log("WARNING:  OTLP exporter could not be configured: unexpected argument; tracing is disabled");
            TraceEndpoint = null;
        }
    }

    private readonly ConcurrentDictionary<string, (string Argument, long At)> _known = new(StringComparer.Ordinal);

    public StandInStart Start { get; }

    public string Workload { get; }

    public World World { get; }

    public TimeProvider Time => World.Time;

    public string Slot { get; }

    public string Release { get; }

    /// <summary>Where spans go, verbatim; null when the process does not trace.</summary>
    public string? TraceEndpoint { get; }

    public MetricRegistry Metrics { get; } = new();

    /// <summary>The accounts this deployment trades for.</summary>
    public IReadOnlyList<string> Accounts => List("ADMIN_ALLOWLIST") is { Count: > 0 } listed ? listed : DefaultAccounts;

    /// <summary>The first of the variables that is set and not blank.</summary>
    public string? Env(params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (Start.Environment.TryGetValue(name, out var value) && !string.IsNullOrWhiteSpace(value))
            {
                return value;
            }
        }

        return null;
    }

    public bool Enabled(string variable) => Env(variable)?.ToLowerInvariant() is "1" or "true" or "yes" or "on";

    public IReadOnlyList<string> List(string variable) =>
        (Env(variable) ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    public void Log(string line) => Start.Log(line);

    /// <summary>Counts a transition of this slot's: <c>NAME:SLOT</c>, and apart from those the calls that changed nothing.</summary>
    public void Count(string transition, bool changed) => World.Effect($"{transition}:{Slot}{(changed ? "" : "-repeated")}");

    /// <summary>Where a path of the container lies on the host: in the mount that covers it, else in the root directory.</summary>
    public string HostPath(string path)
    {
        var full = Absolute(path);
        if (Mount(full) is not { } mount)
        {
            return Path.Join(Start.RootDirectory, full);
        }

        var inside = full[mount.TrimEnd('/').Length..];
        return inside.Length == 0 ? Start.Mounts[mount] : Path.Join(Start.Mounts[mount], inside);
    }

    /// <summary>Like <see cref="HostPath"/>, with the directory made; for what is going to be written.</summary>
    /// <exception cref="IOException">The root file system is read-only and no mount covers the path.</exception>
    public string WritablePath(string path)
    {
        if (Start.ReadOnlyRoot && Mount(Absolute(path)) is null)
        {
            throw new IOException($"[Errno 30] Read-only file system: '{path}'");
        }

        var file = HostPath(path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        return file;
    }

    /// <summary>
    /// Is the fault on, and for us? Its argument is empty or <c>SCOPE</c> or <c>SCOPE:WORKLOAD</c>; a scope is a slot, a release, or a
    /// workload.
    /// </summary>
    public bool Struck(string fault)
    {
        if (World.Fault(fault)?.Trim() is not { } argument)
        {
            return false;
        }

        var parts = argument.Split(':');
        return Covers(parts[0]) && (parts.Length == 1 || parts[1] == Workload);
    }

    /// <summary>The number in <c>SCOPE:NUMBER</c> (or <c>NUMBER</c> alone) when the fault is on for us, else null.</summary>
    public double? Amount(string fault)
    {
        if (World.Fault(fault)?.Trim() is not { } argument)
        {
            return null;
        }

        var colon = argument.LastIndexOf(':');
        var scope = colon < 0 ? "" : argument[..colon];
        return Covers(scope) && double.TryParse(argument[(colon + 1)..], CultureInfo.InvariantCulture, out var number) ? number : null;
    }

    /// <summary>What requests take longer now, in milliseconds: <c>latency</c>, and <c>latency-grows</c> since this pod first knew of it.</summary>
    public double? Delay
    {
        get
        {
            var grown = Amount("latency-grows") is { } each && Since("latency-grows") is { } since ? each * since.TotalSeconds : (double?)null;
            return Amount("latency") is { } fixedly ? fixedly + (grown ?? 0) : grown;
        }
    }

    /// <summary>How long this pod has known of a fault as it is set now; null while it is off.</summary>
    public TimeSpan? Since(string fault)
    {
        if (World.Fault(fault) is not { } argument)
        {
            return null;
        }

        // Another setting of a fault is another instance, whatever it says.
        var known = _known.AddOrUpdate(
            fault, _ => (argument, Time.GetTimestamp()), (_, before) => ReferenceEquals(before.Argument, argument) ? before : (argument, Time.GetTimestamp()));
        return Time.GetElapsedTime(known.At);
    }

    private static string Absolute(string path) => path.StartsWith('/') ? path : $"{WorkingDirectory}/{path}";

    private static string Tag(string image)
    {
        var name = image[(image.LastIndexOf('/') + 1)..].Split('@')[0];
        var colon = name.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? "latest" : name[(colon + 1)..];
    }

    private string? Mount(string full) =>
        Start.Mounts.Keys.Where(key => full == key || full.StartsWith(key.TrimEnd('/') + "/", StringComparison.Ordinal))
            .MaxBy(key => key.Length);

    private bool Covers(string scope) => scope.Length == 0 || scope == Slot || scope == Release || scope == Workload;
}
