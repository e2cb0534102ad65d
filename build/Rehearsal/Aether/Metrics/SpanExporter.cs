using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;

namespace Rehearsal.Aether.Metrics;

/// <summary>One finished server span, <c>SERVICE.request</c>.</summary>
internal sealed record Span(
    string Service,
    string TraceId,
    string? ParentId,
    string RequestId,
    string Method,
    string Url,
    int Status,
    DateTimeOffset Start,
    TimeSpan Duration);

/// <summary>
/// Sends spans as OTLP/HTTP JSON, batched once a second per endpoint. The endpoint is used verbatim, as the platform hands it
/// to its exporter: without <c>/v1/traces</c> in it nothing arrives, and nobody is told.
/// </summary>
internal sealed class SpanExporter(HttpClient http, TimeProvider time) : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(500);

    private readonly ConcurrentDictionary<string, Lazy<Sender>> _senders = new(StringComparer.Ordinal);

    public void Export(string endpoint, Span span) =>
        _senders.GetOrAdd(endpoint, key => new Lazy<Sender>(() => new Sender(key, http, time))).Value.Queue(span);

    public async ValueTask DisposeAsync()
    {
        foreach (var sender in _senders.Values)
        {
            await sender.Value.DisposeAsync();
        }
    }

    private sealed class Sender : IAsyncDisposable
    {
        private readonly Channel<Span> _spans = Channel.CreateBounded<Span>(
            new BoundedChannelOptions(10_000) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });

        private readonly CancellationTokenSource _stop = new();
        private readonly Task _running;

        public Sender(string endpoint, HttpClient http, TimeProvider time) => _running = RunAsync(endpoint, http, time);

        public void Queue(Span span) => _spans.Writer.TryWrite(span);

        public async ValueTask DisposeAsync()
        {
            _spans.Writer.TryComplete();
            await _stop.CancelAsync();
            await _running;
            _stop.Dispose();
        }

        private static JsonObject Attribute(string key, string value) =>
            new() { ["key"] = key, ["value"] = new JsonObject { ["stringValue"] = value } };

        private static string Nanoseconds(DateTimeOffset instant) =>
            ((instant - DateTimeOffset.UnixEpoch).Ticks * 100).ToString(CultureInfo.InvariantCulture);

        private static JsonObject Describe(Span span)
        {
            var described = new JsonObject
            {
                ["traceId"] = span.TraceId,
                ["spanId"] = Guid.NewGuid().ToString("N")[..16],
                ["name"] = $"{span.Service}.request",
                ["kind"] = 2,
                ["startTimeUnixNano"] = Nanoseconds(span.Start),
                ["endTimeUnixNano"] = Nanoseconds(span.Start + span.Duration),
                ["attributes"] = new JsonArray(
                    Attribute("service.name", span.Service),
                    Attribute("request.id", span.RequestId),
                    Attribute("http.method", span.Method),
                    Attribute("http.url", span.Url),
                    new JsonObject
                    {
                        ["key"] = "http.status_code",
                        ["value"] = new JsonObject { ["intValue"] = span.Status.ToString(CultureInfo.InvariantCulture) },
                    }),
                ["status"] = new JsonObject { ["code"] = span.Status >= 500 ? 2 : 0 },
            };
            if (span.ParentId is not null)
            {
                described["parentSpanId"] = span.ParentId;
            }

            return described;
        }

        private static JsonObject Batch(IEnumerable<Span> spans) => new()
        {
            ["resourceSpans"] = new JsonArray([.. spans.GroupBy(span => span.Service, StringComparer.Ordinal).Select(group => new JsonObject
            {
                ["resource"] = new JsonObject { ["attributes"] = new JsonArray(Attribute("service.name", group.Key)) },
                ["scopeSpans"] = new JsonArray(new JsonObject
                {
                    ["scope"] = new JsonObject { ["name"] = "metrics" },
                    ["spans"] = new JsonArray([.. group.Select(Describe)]),
                }),
            })]),
        };

        private async Task RunAsync(string endpoint, HttpClient http, TimeProvider time)
        {
            while (await _spans.Reader.WaitToReadAsync(CancellationToken.None))
            {
                var batch = new List<Span>();
                while (batch.Count < 500 && _spans.Reader.TryRead(out var span))
                {
                    batch.Add(span);
                }

                await SendAsync(endpoint, http, time, batch);
                if (!_stop.IsCancellationRequested)
                {
                    await Task.Delay(Period, time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        }

        private static async Task SendAsync(string endpoint, HttpClient http, TimeProvider time, List<Span> batch)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2), time);
            using var content = new ByteArrayContent(Encoding.UTF8.GetBytes(Batch(batch).ToJsonString()));
            content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            try
            {
                using var answer = await http.PostAsync(new Uri(endpoint), content, patience.Token);
            }
            catch (Exception failure) when (failure is HttpRequestException or OperationCanceledException or UriFormatException)
            {
                // The platform's exporter drops what it cannot deliver, and no request ever fails for it.
            }
        }
    }
}
