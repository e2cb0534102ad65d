using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Rehearsal.Aether;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class ExchangeTests
{
    private static readonly Dictionary<string, string> Keys = new() { ["k1"] = "company", ["k2"] = "director-1" };

    private static readonly string[] Fields = ["seq", "ts", "slot", "namespace", "pod", "account", "pair", "side", "volume", "txid"];

    private readonly HttpClient _http = new();
    private readonly string _directory = Directory.CreateTempSubdirectory("aether-exchange-").FullName;

    [OneTimeTearDown]
    public void Clean()
    {
        _http.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Test]
    public async Task An_accepted_order_is_a_line_of_the_log()
    {
        await using var exchange = await StartAsync();

        var answer = await AddAsync(exchange);

        var line = JsonNode.Parse((await LogAsync(exchange, 0)).Single())!.AsObject();
        Assert.That(line.Select(field => field.Key), Is.EqualTo(Fields));
        Assert.That(line["ts"]!.ToString(), Does.Match(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"));
        Assert.That(line["txid"]!.ToString(), Is.EqualTo(answer["result"]!["txid"]![0]!.ToString()));
        Assert.That($"{line["slot"]} {line["namespace"]} {line["pod"]}", Is.EqualTo("green aether-green oms-1"));
        Assert.That((line["account"]!.ToString(), line["volume"]!.GetValue<decimal>()), Is.EqualTo(("company", 0.25m)));
        Assert.That(exchange.OrdersSince(0).Single().Time.Offset, Is.EqualTo(TimeSpan.Zero));
    }

    [TestCase("nobody", "{\"pair\": \"XBTUSD\"}", "EAPI:Invalid key")]
    [TestCase("k1", "{\"pair\": \"XBTUSD\", \"type\": \"buy\", \"ordertype\": \"market\", \"volume\": \"0\"}",
        "EGeneral:Invalid arguments")]
    [TestCase("k1", "[]", "EGeneral:Invalid arguments")]
    public async Task Bad_orders_are_refused_with_status_200_and_not_logged(string key, string body, string error)
    {
        await using var exchange = await StartAsync();

        var answer = await CallAsync(exchange, "AddOrder", JsonNode.Parse(body)!, key);

        Assert.That(answer["error"]![0]!.ToString(), Is.EqualTo(error));
        Assert.That(exchange.OrdersSince(0), Is.Empty);
    }

    [Test]
    public async Task Resting_orders_are_open_until_their_account_cancels_them()
    {
        await using var exchange = await StartAsync();
        var id = (await AddAsync(exchange, "limit"))["result"]!["txid"]![0]!.ToString();
        Task<JsonObject> CancelAsync(string key) => CallAsync(exchange, "CancelOrder", new JsonObject { ["txid"] = id }, key);

        var open = await CallAsync(exchange, "OpenOrders", new JsonObject(), "k1");
        var foreign = await CancelAsync("k2");
        var own = await CancelAsync("k1");
        var again = await CancelAsync("k1");

        Assert.That(open["result"]!["open"]!.AsObject().Single().Key, Is.EqualTo(id));
        Assert.That(foreign["error"]![0]!.ToString(), Is.EqualTo("EOrder:Unknown order"));
        Assert.That(own["result"]!["count"]!.GetValue<int>(), Is.EqualTo(1));
        Assert.That(again["error"]![0]!.ToString(), Is.EqualTo("EOrder:Unknown order"));
    }

    [Test]
    public async Task A_restart_goes_on_where_the_log_ends_even_when_its_last_line_was_cut()
    {
        var options = Options();
        string resting;
        await using (var first = await Exchange.StartAsync(options, TimeProvider.System, CancellationToken.None))
        {
            await AddAsync(first);
            resting = (await AddAsync(first, "limit"))["result"]!["txid"]![0]!.ToString();
        }

        await File.AppendAllTextAsync(Path.Join(options.Directory, "exchange.jsonl"), "{\"seq\":3,\"ts\":\"2026-");
        await using var second = await Exchange.StartAsync(options, TimeProvider.System, CancellationToken.None);
        await AddAsync(second);

        Assert.That(second.OrdersSince(0).Select(order => order.Seq), Is.EqualTo(new[] { 1, 2, 3 }));
        var open = await CallAsync(second, "OpenOrders", new JsonObject(), "k1");
        Assert.That(open["result"]!["open"]!.AsObject().Single().Key, Is.EqualTo(resting));
        var balance = await CallAsync(second, "Balance", new JsonObject(), "k1");
        Assert.That(balance["result"]!["XXBT"]!.ToString(), Is.EqualTo("0.50"), "two filled orders; the resting one moves nothing");
    }

    [Test]
    public async Task A_restart_knows_positions_that_were_saved_and_those_since()
    {
        var options = Options();
        await using (var first = await Exchange.StartAsync(options, TimeProvider.System, CancellationToken.None))
        {
            var resting = (await AddAsync(first, "limit"))["result"]!["txid"]![0]!.ToString();
            await CallAsync(first, "CancelOrder", new JsonObject { ["txid"] = resting }, "k1");
            for (var i = 0; i < 1003; i++)
            {
                await AddAsync(first);
            }
        }

        Assert.That(File.Exists(Path.Join(options.Directory, "exchange-positions.json")), Is.True);
        await using var second = await Exchange.StartAsync(options, TimeProvider.System, CancellationToken.None);
        var balance = await CallAsync(second, "Balance", new JsonObject(), "k1");

        Assert.That(balance["result"]!["XXBT"]!.ToString(), Is.EqualTo("250.75"), "1003 quarters; the cancelled order moves nothing");
        Assert.That(second.OrdersSince(1003).Single().Seq, Is.EqualTo(1004));
    }

    [Test]
    public async Task Many_writers_get_one_gapless_order_in_time_and_number()
    {
        await using var exchange = await StartAsync();

        await Task.WhenAll(Enumerable.Range(0, 12).Select(async _ =>
        {
            for (var i = 0; i < 200; i++)
            {
                await AddAsync(exchange);
            }
        }));

        var orders = exchange.OrdersSince(0);
        Assert.That(orders.Select(order => order.Seq), Is.EqualTo(Enumerable.Range(1, 2400)));
        Assert.That(orders.Select(order => order.Time), Is.Ordered);
        Assert.That(exchange.OrdersSince(2395).Select(order => order.Seq), Is.EqualTo(new[] { 2396, 2397, 2398, 2399, 2400 }));
        Assert.That(exchange.OrdersSince(2400), Is.Empty);
        Assert.That(await LogAsync(exchange, 999), Has.Length.EqualTo(1401));
    }

    [Test]
    public async Task The_log_wants_the_control_token()
    {
        await using var exchange = await StartAsync();

        using var answer = await _http.GetAsync(new Uri(exchange.Address, "/log"));

        Assert.That((int)answer.StatusCode, Is.EqualTo(401));
    }

    private ExchangeOptions Options() => new(Path.Join(_directory, Guid.NewGuid().ToString("N")), 0, Keys, "control");

    private Task<Exchange> StartAsync() => Exchange.StartAsync(Options(), TimeProvider.System, CancellationToken.None);

    private Task<JsonObject> AddAsync(Exchange exchange, string type = "market") => CallAsync(exchange, "AddOrder", new JsonObject
    {
        ["pair"] = "XBTUSD",
        ["type"] = "buy",
        ["ordertype"] = type,
        ["volume"] = "0.25",
        ["price"] = "64000",
    }, "k1");

    private async Task<JsonObject> CallAsync(Exchange exchange, string method, JsonNode body, string key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(exchange.Address, "/0/private/" + method));
        request.Content = JsonContent.Create(body);
        request.Headers.Add("API-Key", key);
        request.Headers.TryAddWithoutValidation("User-Agent", "aether-oms/aether-green/oms-1");
        using var answer = await _http.SendAsync(request);
        Assert.That((int)answer.StatusCode, Is.EqualTo(200));
        return (await answer.Content.ReadFromJsonAsync<JsonObject>())!;
    }

    private async Task<string[]> LogAsync(Exchange exchange, long after)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(exchange.Address, $"/log?after={after}"));
        request.Headers.Add("Authorization", "Bearer control");
        using var answer = await _http.SendAsync(request);
        return (await answer.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
