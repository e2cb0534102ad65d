using System.Diagnostics;
using System.Diagnostics.Tracing;
using System.Runtime.CompilerServices;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Rollout;

/// <summary>
/// One call of the program as one OpenTelemetry trace: <c>rollout RELEASE</c>, a child span for each step, and below it the commands and the
/// HTTP calls that change something or fail. Off unless <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is set; whatever the endpoint does, a rollout neither waits for it nor
/// fails of it.
/// <para>Attributes are names, numbers and types of errors; messages, arguments, addresses and bodies may hold secrets and stay out.</para>
/// </summary>
public sealed class RolloutTrace : IDisposable
{
    /// <summary>The name under which the spans are known to collectors.</summary>
    public const string ServiceName = "aether-rollout";

    private const string HttpSource = "System.Net.Http";
    private const int HttpSpansOfAStep = 100;
    private const int Links = 16;

    private static readonly TimeSpan LastExport = TimeSpan.FromSeconds(2);
    private static readonly ActivitySource Source = new("Aether.Rollout");

    private readonly TracerProvider? _provider;
    private readonly ExportFailures? _failures;
    private readonly string _receiver;
    private readonly DateTimeOffset _began;
    private Activity? _root;
    private bool _ended;

    private RolloutTrace(TracerProvider? provider, ExportFailures? failures, string receiver, DateTimeOffset began) =>
        (_provider, _failures, _receiver, _began) = (provider, failures, receiver, began);

    /// <summary>The trace's identifier, 32 hexadecimal digits; null where this run is not traced.</summary>
    public string? Id => _root?.TraceId.ToHexString();

    /// <summary>The root span as a W3C <c>traceparent</c>, for the journal; null where this run is not traced.</summary>
    public string? Parent => _root is { } root ? $"00-{root.TraceId}-{root.SpanId}-{(root.Recorded ? "01" : "00")}" : null;

    /// <summary>Prepares tracing as the standard <c>OTEL_…</c> variables say. Nothing is sent yet, and nothing is where no endpoint is set.</summary>
    /// <param name="warn">Told why there will be no trace although an endpoint is set.</param>
    public static RolloutTrace From(IReadOnlyDictionary<string, string?> variables, TimeProvider time, Action<string> warn)
    {
        var endpoint = Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") ?? Variable("OTEL_EXPORTER_OTLP_ENDPOINT");
        if (endpoint is null || string.Equals(Variable("OTEL_SDK_DISABLED"), "true", StringComparison.OrdinalIgnoreCase) || Variable("OTEL_TRACES_EXPORTER") == "none")
        {
            return new RolloutTrace(null, null, string.Empty, default);
        }

        if (!Uri.TryCreate(endpoint, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
        {
            warn("OTEL_EXPORTER_OTLP_ENDPOINT is no http or https address: this run is not traced");
            return new RolloutTrace(null, null, string.Empty, default);
        }

        // Ours is one trace with few spans; what our probes touch belongs to the platform's own traces.
        DistributedContextPropagator.Current = DistributedContextPropagator.CreateNoOutputPropagator();
        var settings = new ConfigurationBuilder()
            .AddInMemoryCollection(variables.Where(v => v.Key.StartsWith("OTEL_", StringComparison.Ordinal))).Build();
        try
        {
            var failures = new ExportFailures();
            var provider = Sdk.CreateTracerProviderBuilder()
                .ConfigureServices(services => services.AddSingleton<IConfiguration>(settings))
                .SetResourceBuilder(ResourceBuilder.CreateEmpty().AddService(ServiceName, autoGenerateServiceInstanceId: false).AddTelemetrySdk().AddEnvironmentVariableDetector())
                .AddSource(Source.Name, HttpSource)
                .AddProcessor(new HttpSpans())
                .AddOtlpExporter(options =>
                {
                    if (Variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") is null && Variable("OTEL_EXPORTER_OTLP_PROTOCOL") is null)
                    {
                        options.Protocol = OtlpExportProtocol.HttpProtobuf;
                    }

                    // Aether's services want the address with /v1/traces, the specification's base address is without: both are understood.
                    if (options.Protocol == OtlpExportProtocol.HttpProtobuf && address.AbsolutePath.EndsWith("/v1/traces", StringComparison.Ordinal))
                    {
                        options.Endpoint = address;
                    }
                })
                .Build();
            return new RolloutTrace(provider, failures, $"{address.Host}:{address.Port}", time.GetUtcNow());
        }
        catch (Exception exception) when (exception is InvalidOperationException or ArgumentException or FormatException or NotSupportedException)
        {
            warn($"the OTEL_… variables cannot be used ({exception.GetType().Name}): this run is not traced");
            return new RolloutTrace(null, null, string.Empty, default);
        }

        string? Variable(string name) => variables.GetValueOrDefault(name) is { Length: > 0 } value ? value : null;
    }

    /// <summary>Names the trace when the release is known. A rollback that follows in the same call stays in the same trace.</summary>
    /// <param name="earlier">The <c>traceparent</c> of each earlier run of this release, oldest first: the newest become links.</param>
    public void Begin(string release, string environment, string live, string candidate, IEnumerable<string> earlier)
    {
        if (_provider is null)
        {
            return;
        }

        if (_root is not null)
        {
            _root.AddEvent(new ActivityEvent("opened again"));
            return;
        }

        var links = new List<ActivityLink>();
        foreach (var parent in earlier.Distinct().TakeLast(Links))
        {
            if (ActivityContext.TryParse(parent, null, isRemote: true, out var context))
            {
                links.Add(new ActivityLink(context, new ActivityTagsCollection { ["aether.link"] = "earlier run of this release" }));
            }
        }

        // What goes on beside the steps, as the lock's renewal, is not part of any: the ambient span stays what it was.
        var ambient = Activity.Current;
        _root = Source.StartActivity(
            $"rollout {release}",
            ActivityKind.Internal,
            default(ActivityContext),
            Facts(release, environment, live, candidate),
            links,
            _began);
        Activity.Current = ambient;
    }

    /// <summary>Begins a step's span, which is the ambient one until it ends.</summary>
    public StepSpan Step(string number, string name, string release, string environment, string live, string candidate)
    {
        var span = _root is null
            ? null
            : Source.StartActivity($"{number} {name}", ActivityKind.Internal, _root.Context, Facts(release, environment, live, candidate));
        span?.SetTag("aether.step", name).SetTag("aether.step.number", number);
        return new StepSpan(span);
    }

    /// <summary>Begins the span of a command inside the ambient step: its program and its verb, no more.</summary>
    internal static Activity? Command(string program, string? verb)
    {
        var ambient = Activity.Current;
        if (ambient?.Source != Source)
        {
            return null;
        }

        // A script's name is enough, and what is no plain word may be a value.
        var word = verb is null ? string.Empty : Path.GetFileName(verb);
        var isPlain = word.Length is > 0 and <= 40 && word.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
        var span = Source.StartActivity(isPlain ? $"{program} {word}" : program, ActivityKind.Client);
        span?.SetTag("process.executable.name", program);
        Activity.Current = ambient;
        return span;
    }

    /// <summary>Ends the span of a command.</summary>
    internal static void End(Activity? command, int exitCode)
    {
        if (command is null)
        {
            return;
        }

        var ambient = Activity.Current;
        command.SetTag("process.exit.code", exitCode);
        command.SetStatus(exitCode == 0 ? ActivityStatusCode.Unset : ActivityStatusCode.Error);
        command.Stop();
        Activity.Current = ambient;
    }

    /// <summary>Ends the trace and sends what is left, for two seconds at most.</summary>
    /// <returns>What a person is told of it; null where this run was not traced.</returns>
    public string? End(string outcome, int exitCode)
    {
        if (_provider is null || _root is null || _ended)
        {
            return null;
        }

        _ended = true;
        _root.SetTag("aether.outcome", outcome).SetTag("process.exit.code", exitCode);
        _root.SetStatus(exitCode == 0 ? ActivityStatusCode.Ok : ActivityStatusCode.Error);
        _root.Stop();
        var sent = _provider.Shutdown((int)LastExport.TotalMilliseconds);
        return !_root.Recorded ? $"trace {Id} (not sampled, so nothing was sent)"
            : sent && _failures!.Count == 0 ? $"trace {Id}, sent to {_receiver}"
            : $"trace {Id}, but {_receiver} did not take all of it; the rollout is not concerned";
    }

    public void Dispose()
    {
        _failures?.Dispose();

        // Without a shutdown of its own the provider's disposal waits longer than a run may be held up.
        if (_provider is not null && !_ended)
        {
            _ended = true;
            _provider.Shutdown(0);
        }
    }

    private static Dictionary<string, object?> Facts(string release, string environment, string live, string candidate) => new()
    {
        ["aether.release"] = release,
        ["deployment.environment.name"] = environment,
        ["aether.slot"] = candidate,
        ["aether.slot.live"] = live,
    };

    /// <summary>A step's span: exactly one outcome ends it.</summary>
    public sealed class StepSpan : IDisposable
    {
        private readonly Activity? _span;

        internal StepSpan(Activity? span) => _span = span;

        /// <summary>The step ended well.</summary>
        /// <param name="outcome"><c>done</c>, <c>already so</c> or <c>nothing to repeat</c>.</param>
        public void Done(string outcome) => _span?.SetTag("aether.outcome", outcome).SetStatus(ActivityStatusCode.Ok);

        /// <summary>The step did not end well: the error's type and exit code, and never its message, which may quote anything.</summary>
        public void Failed(Exception exception)
        {
            var interrupted = exception is OperationCanceledException or RolloutException { ExitCode: ExitCode.Interrupted };
            _span?.SetTag("aether.outcome", interrupted ? "interrupted" : exception is RolloutException { ExitCode: ExitCode.Refused } ? "refused" : "failed")
                .SetTag("error.type", exception.GetType().Name)
                .SetTag("error.cause.type", exception.InnerException?.GetType().Name)
                .SetTag("aether.exit", exception is RolloutException { ExitCode: var code } ? code.ToString() : null)
                .SetStatus(ActivityStatusCode.Error);
        }

        public void Dispose() => _span?.Dispose();
    }

    /// <summary>
    /// Of the HTTP calls inside steps those are kept that change something or fail, at most a hundred a step, without their addresses' paths: a watch reads
    /// thousands of pages, and a webhook's path may be its password.
    /// </summary>
    private sealed class HttpSpans : BaseProcessor<Activity>
    {
        private readonly ConditionalWeakTable<Activity, StrongBox<int>> _kept = [];

        public override void OnEnd(Activity data)
        {
            if (data.Source.Name != HttpSource)
            {
                return;
            }

            var step = data.Parent;
            while (step is not null && step.Source != Source)
            {
                step = step.Parent;
            }

            var reads = data.GetTagItem("http.request.method") is "GET" or "HEAD" or "OPTIONS";
            var failed = data.GetTagItem("error.type") is not null;
            if (step is null || (reads && !failed) || Interlocked.Increment(ref _kept.GetOrCreateValue(step).Value) > HttpSpansOfAStep)
            {
                data.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
                return;
            }

            data.SetTag("url.full", null);
            data.SetStatus(failed ? ActivityStatusCode.Error : ActivityStatusCode.Unset, null);
        }
    }

    // The exporter tells of its failures in events only.
    private sealed class ExportFailures : EventListener
    {
        private int _count;

        public int Count => Volatile.Read(ref _count);

        protected override void OnEventSourceCreated(EventSource eventSource)
        {
            if (eventSource.Name == "OpenTelemetry-Exporter-OpenTelemetryProtocol")
            {
                EnableEvents(eventSource, EventLevel.Error);
            }
        }

        protected override void OnEventWritten(EventWrittenEventArgs eventData)
        {
            if (eventData.Level is EventLevel.Error or EventLevel.Critical)
            {
                Interlocked.Increment(ref _count);
            }
        }
    }
}
