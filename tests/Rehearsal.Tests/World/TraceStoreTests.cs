using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed class TraceStoreTests
{
    private TestPlace _place = null!;
    private TraceStore _traces = null!;
    private HttpClient _client = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _place = new TestPlace();
        _traces = await TraceStore.StartAsync(_place.Place, CancellationToken.None);
        _client = TestPlace.Client(_traces.Address, null);
    }

    [TearDown]
    public async Task StopAsync()
    {
        _client.Dispose();
        await _traces.DisposeAsync();
        _place.Dispose();
    }

    [Test]
    public async Task It_says_that_it_is_ready()
    {
        Assert.That(await _client.GetStringAsync("ready"), Does.StartWith("ready"));
        Assert.That(await _client.GetStringAsync("api/echo"), Is.EqualTo("echo\n"));
    }

    [Test]
    public async Task A_trace_is_found_by_the_request_it_was_made_for()
    {
        await SendAsync(
            Span(1, "oms.request", 20, ("request.id", "rollout-v2026.11.1-2.5-1")), Span(2, "oms.request", 20, ("request.id", "other")));
        var found = await SearchAsync("""{ span.request.id = "rollout-v2026.11.1-2.5-1" }""");
        Assert.That(found.Select(trace => (string?)trace!["traceID"]), Is.EqualTo(new[] { Id(1) }));
        Assert.That((string?)found[0]!["rootServiceName"], Is.EqualTo("oms"));
        Assert.That((long)found[0]!["durationMs"]!, Is.EqualTo(20));

        var whole = JsonNode.Parse(await _client.GetStringAsync($"api/traces/{Id(1)}"))!;
        var span = whole["batches"]![0]!["scopeSpans"]![0]!["spans"]![0]!;
        Assert.That((string?)span["name"], Is.EqualTo("oms.request"));
        Assert.That(Convert.FromBase64String((string)span["traceId"]!), Is.EqualTo(Convert.FromHexString(Id(1))));
    }

    [TestCase("{ resource.service.name = \"oms\" && span.http.status_code >= 500 }", new[] { 3 })]
    [TestCase("{ status = error }", new[] { 3 })]
    [TestCase("{ duration > 50ms }", new[] { 2 })]
    [TestCase("{ duration > 1.5s || (.http.status_code = 200 && name =~ \"oms.*\") }", new[] { 1, 2 })]
    [TestCase("{ span.http.status_code != 200 }", new[] { 3 })]
    [TestCase("{ span.absent != \"x\" }", new int[0])]
    [TestCase("{}", new[] { 1, 2, 3 })]
    public async Task TraceQL_selects_by_attributes_status_and_duration(string query, int[] expected)
    {
        await SendAsync(
            Span(1, "oms.request", 10, ("http.status_code", 200L)),
            Span(2, "oms.request", 80, ("http.status_code", 200L)),
            Failed(Span(3, "oms.request", 10, ("http.status_code", 503L))));
        Assert.That((await SearchAsync(query)).Select(trace => (string?)trace!["traceID"]), Is.EquivalentTo(expected.Select(Id)));
    }

    [TestCase("tags=http.status_code%3D503", 1)]
    [TestCase("tags=service.name%3Doms%20error%3Dtrue", 1)]
    [TestCase("minDuration=15ms", 0)]
    [TestCase("tags=service.name%3Doms&limit=1", 1)]
    [TestCase("start=1&end=2", 0)]
    public async Task Tags_and_limits_select_as_well(string query, int count)
    {
        await SendAsync(Span(1, "a", 10, ("http.status_code", 200L)), Failed(Span(2, "b", 10, ("http.status_code", 503L))));
        var found = JsonNode.Parse(await _client.GetStringAsync("api/search?" + query))!;
        Assert.That(found["traces"]!.AsArray(), Has.Count.EqualTo(count));
    }

    [TestCase("{ name = \"x\"")]
    [TestCase("name = \"x\"")]
    [TestCase("{ name = \"x\" } | count() > 2")]
    [TestCase("{ name ~ 3 }")]
    public async Task What_is_no_TraceQL_is_a_400(string query)
    {
        using var answer = await _client.GetAsync("api/search?q=" + Uri.EscapeDataString(query));
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.BadRequest));
    }

    [Test]
    public async Task An_unknown_trace_is_a_404()
    {
        using var answer = await _client.GetAsync($"api/traces/{Id(9)}");
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
    }

    [Test]
    public async Task Protobuf_is_understood_as_JSON_is()
    {
        static byte[] Field(int number, byte[] bytes) => [(byte)((number << 3) | 2), (byte)bytes.Length, .. bytes];
        static byte[] Text(int number, string text) => Field(number, Encoding.UTF8.GetBytes(text));
        static byte[] Fixed64(int number, ulong value) => [(byte)((number << 3) | 1), .. BitConverter.GetBytes(value)];
        byte[] service = Field(1, [.. Text(1, "service.name"), .. Field(2, Text(1, "risk"))]);
        byte[] status = Field(9, [.. Text(1, "http.status_code"), .. Field(2, [3 << 3, 0xF7, 0x03])]);
        byte[] span =
        [
            .. Field(1, Convert.FromHexString(Id(7))), .. Field(2, new byte[8]), .. Text(5, "risk.request"),
            .. Fixed64(7, 1_000_000_000), .. Fixed64(8, 1_500_000_000), .. status, .. Field(15, [3 << 3, 2]),
        ];
        using var body = new ByteArrayContent(Field(1, [.. Field(1, service), .. Field(2, Field(2, span))]));
        body.Headers.ContentType = new MediaTypeHeaderValue("application/x-protobuf");
        using var answer = await _client.PostAsync("v1/traces", body);
        Assert.That(answer.StatusCode, Is.EqualTo(HttpStatusCode.OK));
        var found = await SearchAsync(
            "{ resource.service.name = \"risk\" && span.http.status_code = 503 && status = error && duration = 500ms }");
        Assert.That(found.Select(trace => (string?)trace!["traceID"]), Is.EqualTo(new[] { Id(7) }));
    }

    [Test]
    public async Task With_traces_off_spans_are_accepted_and_gone()
    {
        _place.Faults.Set("traces-off", "");
        await SendAsync(Span(1, "oms.request", 10));
        Assert.That(await SearchAsync("{}"), Is.Empty);
    }

    private static string Id(int number)
    {
        return number.ToString("x32", System.Globalization.CultureInfo.InvariantCulture);
    }

    private static JsonObject Span(int trace, string name, int milliseconds, params (string Key, object Value)[] attributes)
    {
        return new JsonObject
        {
            ["traceId"] = Id(trace),
            ["spanId"] = trace.ToString("x16", System.Globalization.CultureInfo.InvariantCulture),
            ["name"] = name,
            ["kind"] = 2,
            ["startTimeUnixNano"] = "1800000000000000000",
            ["endTimeUnixNano"] = (1800000000000000000 + (milliseconds * 1_000_000L)).ToString(
                System.Globalization.CultureInfo.InvariantCulture),
            ["attributes"] = new JsonArray(
            [
                .. attributes.Select(attribute => new JsonObject
                {
                    ["key"] = attribute.Key,
                    ["value"] = attribute.Value is long number
                        ? new JsonObject { ["intValue"] = number.ToString(System.Globalization.CultureInfo.InvariantCulture) }
                        : new JsonObject { ["stringValue"] = (string)attribute.Value },
                }),
            ]),
        };
    }

    private static JsonObject Failed(JsonObject span)
    {
        span["status"] = new JsonObject { ["code"] = 2 };
        return span;
    }

    private async Task SendAsync(params JsonObject[] spans)
    {
        using var body = new JsonObject
        {
            ["resourceSpans"] = new JsonArray(new JsonObject
            {
                ["resource"] = new JsonObject
                {
                    ["attributes"] = new JsonArray(
                        new JsonObject { ["key"] = "service.name", ["value"] = new JsonObject { ["stringValue"] = "oms" } }),
                },
                ["scopeSpans"] = new JsonArray(new JsonObject { ["spans"] = new JsonArray([.. spans]) }),
            }),
        }.Json();
        using var answer = await _client.PostAsync("v1/traces", body);
        Assert.That(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    private async Task<JsonArray> SearchAsync(string query)
    {
        return JsonNode.Parse(await _client.GetStringAsync("api/search?q=" + Uri.EscapeDataString(query)))!["traces"]!.AsArray();
    }
}
