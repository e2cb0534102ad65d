using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>
/// Where spans go and are found again: OTLP over HTTP on <c>POST /v1/traces</c> (JSON and protobuf) and Grafana Tempo's query API
/// (<c>/api/search</c> by TraceQL or tags, <c>/api/traces/ID</c>, <c>/ready</c>, <c>/api/echo</c>). In memory only: a collector
/// that restarts has lost what it held, and so has this one; the newest 20,000 traces are kept.
/// </summary>
public sealed class TraceStore : IAsyncDisposable
{
    private const int KeptTraces = 20_000;
    private const int KeptSpansOfTrace = 500;

    private readonly Place _place;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<OtlpSpan>> _traces = new(StringComparer.Ordinal);
    private readonly Queue<string> _order = new();
    private LoopbackServer? _server;

    private TraceStore(Place place)
    {
        _place = place;
        Address = new Uri("about:blank");
    }

    public Uri Address { get; private set; }

    /// <summary>What exporters are given, complete: <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is used verbatim by the platform.</summary>
    public Uri Ingest => new(Address, "v1/traces");

    public static async Task<TraceStore> StartAsync(Place place, CancellationToken cancellationToken)
    {
        var store = new TraceStore(place);
        (store._server, store.Address) = await LoopbackServer.StartAsync(place.Ports, "traces", store.AnswerAsync, cancellationToken);
        return store;
    }

    public ValueTask DisposeAsync()
    {
        return _server?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private Task AnswerAsync(HttpContext context)
    {
        return (context.Request.Method, context.Request.Segments()) switch
        {
            ("POST", ["v1", "traces"]) => IngestAsync(context),
            ("GET", ["ready"]) => context.AnswerTextAsync(200, "ready\n"),
            ("GET", ["api", "echo"]) => context.AnswerTextAsync(200, "echo\n"),
            ("GET", ["api", "search"]) => SearchAsync(context),
            ("GET", ["api", "traces", var id]) => AnswerTraceAsync(context, id, batches => new JsonObject { ["batches"] = batches }),
            ("GET", ["api", "v2", "traces", var id]) => AnswerTraceAsync(
                context,
                id,
                batches => new JsonObject { ["trace"] = new JsonObject { ["resourceSpans"] = batches }, ["status"] = "COMPLETE" }),
            ("GET", ["api", "v2", "search", "tag", var tag, "values"]) => AnswerValuesAsync(context, tag),
            _ => context.AnswerTextAsync(404, "404 page not found\n"),
        };
    }

    private async Task IngestAsync(HttpContext context)
    {
        List<OtlpSpan> spans;
        var isProtobuf = context.Request.ContentType?.StartsWith("application/x-protobuf", StringComparison.OrdinalIgnoreCase) == true;
        try
        {
            if (isProtobuf)
            {
                using var body = new MemoryStream();
                await context.Request.Body.CopyToAsync(body, context.RequestAborted);
                spans = OtlpSpan.FromProtobuf(body.ToArray());
            }
            else if (context.Request.HasJsonContentType())
            {
                var body = await context.Request.ReadObjectAsync(context.RequestAborted) ?? throw new FormatException(
                    "The body is no JSON object.");
                spans = OtlpSpan.FromJson(body);
            }
            else
            {
                await context.AnswerTextAsync(415, "unsupported media type\n");
                return;
            }
        }
        catch (FormatException broken)
        {
            await context.AnswerAsync(400, new JsonObject { ["code"] = 3, ["message"] = broken.Message });
            return;
        }

        if (_place.Fault("traces-off") is null)
        {
            Keep(spans);
        }

        if (isProtobuf)
        {
            // An empty ExportTraceServiceResponse: everything was accepted.
            context.Response.ContentType = "application/x-protobuf";
            return;
        }

        await context.AnswerAsync(200, new JsonObject { ["partialSuccess"] = new JsonObject() });
    }

    private void Keep(List<OtlpSpan> spans)
    {
        lock (_lock)
        {
            foreach (var span in spans.Where(span => span.TraceId.Length == 32))
            {
                if (!_traces.TryGetValue(span.TraceId, out var trace))
                {
                    _traces[span.TraceId] = trace = [];
                    _order.Enqueue(span.TraceId);
                    if (_order.Count > KeptTraces)
                    {
                        _traces.Remove(_order.Dequeue());
                    }
                }

                if (trace.Count < KeptSpansOfTrace)
                {
                    trace.Add(span);
                }
            }
        }
    }

    private async Task SearchAsync(HttpContext context)
    {
        var query = context.Request.Query;
        string? Ask(string name) => query[name].FirstOrDefault() is { Length: > 0 } value ? value : null;
        Func<OtlpSpan, bool> filter;
        try
        {
            filter = Ask("q") is { } traceQl ? TraceQuery.Parse(traceQl) : TraceQuery.ParseTags(Ask("tags") ?? "");
        }
        catch (FormatException problem)
        {
            await context.AnswerTextAsync(400, $"invalid TraceQL query: {problem.Message}\n");
            return;
        }

        TimeSpan? Duration(string name) => Ask(name) is { } text ? TraceQuery.ParseDuration(text) : null;
        ulong? Seconds(string name) =>
            ulong.TryParse(Ask(name), CultureInfo.InvariantCulture, out var value) ? value * 1_000_000_000 : null;
        int Count(string name, int usual) => int.TryParse(Ask(name), CultureInfo.InvariantCulture, out var value) ? value : usual;
        var (shortest, longest, from, to) = (Duration("minDuration"), Duration("maxDuration"), Seconds("start"), Seconds("end"));
        var (limit, spansPerSet) = (Count("limit", 20), Count("spss", 3));
        var traces = new JsonArray();
        var inspected = 0;
        lock (_lock)
        {
            foreach (var id in _order.Reverse())
            {
                inspected++;
                var trace = _traces[id];
                var matched = trace.FindAll(span =>
                    filter(span) && !(span.Duration < shortest) && !(span.Duration > longest) && !(span.End < from) && !(span.Start > to));
                if (matched.Count > 0)
                {
                    traces.Add(Found(id, trace, matched, spansPerSet));
                }

                if (traces.Count >= limit)
                {
                    break;
                }
            }
        }

        await context.AnswerAsync(200, new JsonObject
        {
            ["traces"] = traces,
            ["metrics"] = new JsonObject { ["inspectedTraces"] = inspected, ["completedJobs"] = 1, ["totalJobs"] = 1 },
        });
    }

    private static JsonObject Found(string id, List<OtlpSpan> trace, List<OtlpSpan> matched, int spansPerSet)
    {
        var root = trace.Find(span => span.ParentId.Length == 0);
        var start = trace.Min(span => span.Start);
        var set = new JsonObject
        {
            ["spans"] = new JsonArray(
            [
                .. matched.Take(spansPerSet).Select(span => new JsonObject
                {
                    ["spanID"] = span.SpanId,
                    ["name"] = span.Name,
                    ["startTimeUnixNano"] = span.Start.ToString(CultureInfo.InvariantCulture),
                    ["durationNanos"] = (span.End - Math.Min(span.Start, span.End)).ToString(CultureInfo.InvariantCulture),
                    ["attributes"] = OtlpSpan.AttributesJson(span.Attributes),
                }),
            ]),
            ["matched"] = matched.Count,
        };
        return new JsonObject
        {
            ["traceID"] = id,
            ["rootServiceName"] = root?.Service ?? "<root span not yet received>",
            ["rootTraceName"] = root?.Name ?? "",
            ["startTimeUnixNano"] = start.ToString(CultureInfo.InvariantCulture),
            ["durationMs"] = (long)((trace.Max(span => span.End) - start) / 1_000_000),
            ["spanSet"] = set,
            ["spanSets"] = new JsonArray(set.DeepClone()),
        };
    }

    private async Task AnswerTraceAsync(HttpContext context, string id, Func<JsonArray, JsonObject> wrap)
    {
        // Tempo accepts identifiers without their leading zeros.
        List<OtlpSpan>? trace;
        lock (_lock)
        {
            trace = _traces.TryGetValue(id.ToLowerInvariant().PadLeft(32, '0'), out var known) ? [.. known] : null;
        }

        if (trace is null)
        {
            await context.AnswerTextAsync(404, "trace not found\n");
            return;
        }

        var batches = new JsonArray();
        foreach (var resource in trace.GroupBy(span => span.Resource, ReferenceEqualityComparer.Instance))
        {
            batches.Add(new JsonObject
            {
                ["resource"] = new JsonObject { ["attributes"] = OtlpSpan.AttributesJson(resource.First().Resource) },
                ["scopeSpans"] = new JsonArray(new JsonObject
                {
                    ["scope"] = new JsonObject(),
                    ["spans"] = new JsonArray([.. resource.Select(span => span.ToTempoJson())]),
                }),
            });
        }

        await context.AnswerAsync(200, wrap(batches));
    }

    private Task AnswerValuesAsync(HttpContext context, string tag)
    {
        var (isResource, name) = tag.Split('.', 2) switch
        {
            ["resource", var rest] => (true, rest),
            ["span" or "", var rest] => (false, rest),
            _ => (false, tag),
        };
        JsonArray values;
        lock (_lock)
        {
            values = new JsonArray(
            [
                .. _traces.Values.SelectMany(trace => trace)
                    .Select(span => (isResource ? span.Resource : span.Attributes).GetValueOrDefault(name))
                    .OfType<object>()
                    .Distinct()
                    .Take(1000)
                    .Select(value => new JsonObject
                    {
                        ["type"] = value switch { long => "int", double => "float", bool => "bool", _ => "string" },
                        ["value"] = OtlpSpan.Text(value),
                    }),
            ]);
        }

        return context.AnswerAsync(200, new JsonObject { ["tagValues"] = values });
    }
}
