using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

/// <summary>The client against real sockets: two edges with TLS, a name server, and a clock that is moved by hand.</summary>
public sealed class ClientTrafficTests
{
    private const string Host = "oms.aether.example.com";
    private const string Blue = "127.0.0.1";
    private const string Green = "127.0.0.2";
    private const string Simulated = """{"transport":"simulation"}""";
    private const string Sent = """{"transport":"rest"}""";

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 11, 2, 9, 0, 0, TimeSpan.Zero));
    private TestAuthority _authority = null!;
    private string _authorityFile = null!;
    private NameServerDouble _dns = null!;
    private EdgeDouble _blue = null!;
    private EdgeDouble _green = null!;
    private Func<HttpContext, Task> _atBlue = context => Answer(context, 200, Sent);
    private Func<HttpContext, Task> _atGreen = context => Answer(context, 200, Sent);

    [SetUp]
    public async Task Start()
    {
        _authority = new TestAuthority("clients' authority");
        _authorityFile = Path.Combine(Directory.CreateTempSubdirectory("aether-client-").FullName, "ca.pem");
        await File.WriteAllTextAsync(_authorityFile, _authority.Pem);
        var certificate = _authority.Issue("*.aether.example.com", DateTimeOffset.UnixEpoch.AddYears(40), DateTimeOffset.UnixEpoch.AddYears(90));
        _dns = new NameServerDouble(_ => new DnsReply(Blue));
        _blue = await EdgeDouble.StartAsync(certificate, context => _atBlue(context));
        _green = await EdgeDouble.StartAsync(certificate, context => _atGreen(context), like: _blue);
    }

    [TearDown]
    public async Task End()
    {
        await _blue.DisposeAsync();
        await _green.DisposeAsync();
        await _dns.DisposeAsync();
        _authority.Dispose();
        Directory.Delete(Path.GetDirectoryName(_authorityFile)!, recursive: true);
    }

    [Test]
    public async Task Latency_counts_from_when_a_request_was_due_and_not_from_when_it_could_be_sent()
    {
        var stall = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var requests = 0;
        _atBlue = async context =>
        {
            await (Interlocked.Increment(ref requests) == 1 ? Task.CompletedTask : stall.Task);
            await Answer(context, 200, "{}");
        };
        await using var client = await ClientTraffic.StartAsync(Reading(rate: 10) with { AtOnce = 1 }, _time, default);
        _time.Advance(TimeSpan.FromSeconds(1));
        stall.SetResult();
        await UntilAsync(() => client.Answered == 11);
        Assert.That(
            (await client.StopAsync()).Answers.OrderBy(a => a.Scheduled).Select(a => a.Latency.TotalMilliseconds),
            Is.EqualTo(new[] { 1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0 }),
            "one stall is a second of slow requests, not one slow request");
    }

    [Test]
    public async Task A_host_that_moves_is_followed_when_its_TTL_has_run_out_and_an_order_logs_in_there_once()
    {
        _atBlue = context => Session(context, "blue-session", Sent);
        _atGreen = context => Session(context, "green-session", Simulated);
        await using var client = await ClientTraffic.StartAsync(Plan(rate: 2) with { AtOnce = 1 }, _time, default);
        await AdvanceAsync(client, TimeSpan.FromSeconds(2), answered: 5);
        _dns.Answer = _ => new DnsReply(Green);
        await AdvanceAsync(client, TimeSpan.FromSeconds(50), answered: 105);
        Assert.That(_green.Hosts, Is.Empty, "the cached answer counts for 60 s");
        await AdvanceAsync(client, TimeSpan.FromSeconds(10), answered: 125);
        var totals = (await client.StopAsync()).Totals;
        Assert.Multiple(() =>
        {
            Assert.That(totals.BySlot, Is.EqualTo(new Dictionary<string, int> { ["blue"] = 105, ["green"] = 20 }));
            Assert.That(totals.Logins, Is.EqualTo(1));
            Assert.That((totals.ReadsFailed, totals.Refused), Is.EqualTo((0, 0)));
            Assert.That((totals.Accepted, totals.Fenced), Is.EqualTo((52, 10)));
        });
        Assert.That(_blue.ServerNames.Concat(_green.ServerNames), Is.All.EqualTo(Host), "SNI is the host's");
        Assert.That(_blue.Hosts.Concat(_green.Hosts), Is.All.EqualTo(Host));
        Assert.That(_blue.ServerNames, Has.Count.EqualTo(1), "connections are kept");
    }

    [TestCase(200, Sent, ClientOutcome.Accepted, null)]
    [TestCase(200, Simulated, ClientOutcome.Fenced, "simulation")]
    [TestCase(423, """{"detail":"Safe mode is active; new intents are rejected."}""", ClientOutcome.Fenced, "safe mode")]
    [TestCase(423, """{"detail":"Instrument halted."}""", ClientOutcome.Refused, "status 423 (Instrument halted.)")]
    [TestCase(503, """{"detail":"no exchange credentials for account company"}""", ClientOutcome.Refused, "status 503 (no exchange credentials for account company)")]
    [TestCase(200, """{"transport":"shadow"}""", ClientOutcome.Refused, "transport shadow")]
    [TestCase(200, "<html>", ClientOutcome.Refused, "transport unknown")]
    [TestCase(502, "<html>", ClientOutcome.Refused, "status 502")]
    [TestCase(401, """{"detail":"Invalid or expired session token."}""", ClientOutcome.Refused, "status 401 (Invalid or expired session token.)")]
    public async Task An_order_is_accepted_or_fenced_in_a_documented_way_or_refused(int status, string body, ClientOutcome outcome, string? detail)
    {
        _atBlue = context => HttpMethods.IsPost(context.Request.Method) ? Answer(context, status, body) : Answer(context, 200, "{}");
        await using var client = await ClientTraffic.StartAsync(Plan(rate: 1), _time, default);
        var order = (await client.StopAsync()).Answers.Single();
        Assert.That((order.Outcome, order.Detail, order.Slot, order.LoggedIn), Is.EqualTo((outcome, detail, "blue", false)));
    }

    [Test]
    public async Task A_read_that_live_answers_with_success_nowhere_is_expected_to_be_answered_as_live_does()
    {
        _atBlue = context => Answer(context, context.Request.Path == "/" ? 404 : 403, "{}");
        await using var client = await ClientTraffic.StartAsync(Reading(rate: 1), _time, default);
        Assert.That((await client.StopAsync()).Totals.ReadsFailed, Is.Zero);
    }

    [Test]
    public async Task A_read_takes_the_first_page_that_live_has()
    {
        var paths = new List<string>();
        _atBlue = context =>
        {
            paths.Add(context.Request.Path);
            return Answer(context, context.Request.Path == "/healthz" ? 200 : 404, "{}");
        };
        await using var client = await ClientTraffic.StartAsync(Reading(rate: 1), _time, default);
        await client.StopAsync();
        Assert.That(paths, Is.EqualTo(new[] { "/openapi.json", "/healthz", "/healthz" }));
    }

    [Test]
    public async Task A_read_that_is_answered_otherwise_or_not_at_all_has_failed_and_says_how()
    {
        await using var client = await ClientTraffic.StartAsync(Reading(rate: 1) with { AtOnce = 1 }, _time, default);
        await UntilAsync(() => client.Answered == 1);
        _atBlue = context => Answer(context, 502, "<html>");
        await AdvanceAsync(client, TimeSpan.FromSeconds(1), answered: 2);
        _atBlue = context =>
        {
            context.Abort();
            return Task.CompletedTask;
        };
        await AdvanceAsync(client, TimeSpan.FromSeconds(1), answered: 3);
        await _blue.DisposeAsync();
        await AdvanceAsync(client, TimeSpan.FromSeconds(1), answered: 4);
        _dns.Answer = _ => new DnsReply { ResponseCode = 3 };
        await AdvanceAsync(client, TimeSpan.FromSeconds(57), answered: 61);
        var report = await client.StopAsync();
        Assert.That(report.Totals.ReadsFailed, Is.EqualTo(60));
        Assert.That(
            report.Answers.OrderBy(a => a.Scheduled).Select(a => a.Detail).Distinct(),
            Is.EqualTo(new[] { null, "status 502", "reset", "no connection", "no address" }));
    }

    [Test]
    public async Task An_answer_that_does_not_come_in_time_is_a_failure()
    {
        var requests = 0;
        _atBlue = context => Interlocked.Increment(ref requests) == 1 ? Answer(context, 200, "{}") : Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted);
        await using var client = await ClientTraffic.StartAsync(Reading(rate: 1) with { AtOnce = 1, Patience = TimeSpan.FromSeconds(10) }, _time, default);
        await UntilAsync(() => requests == 2);
        _time.Advance(TimeSpan.FromSeconds(10));
        await UntilAsync(() => client.Answered >= 1);
        await _blue.DisposeAsync();
        var first = (await client.StopAsync()).Answers.OrderBy(a => a.Scheduled).First();
        Assert.That((first.Outcome, first.Detail, first.Latency), Is.EqualTo((ClientOutcome.ReadFailed, "timeout", TimeSpan.FromSeconds(10))));
    }

    [Test]
    public async Task A_certificate_that_nobody_trusts_is_no_answer()
    {
        using var other = new TestAuthority("another authority");
        await File.WriteAllTextAsync(_authorityFile, other.Pem);
        var refused = await Assert.ThrowsAsync<RolloutException>(() => ClientTraffic.StartAsync(Reading(rate: 1), _time, default));
        Assert.That(refused!.Message, Is.EqualTo("The client's first read of oms.aether.example.com came to nothing: TLS."));
    }

    [Test]
    public async Task A_client_that_is_given_up_counts_nothing_that_it_broke_off()
    {
        var requests = 0;
        _atBlue = context => Interlocked.Increment(ref requests) == 1 ? Answer(context, 200, "{}") : Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted);
        var client = await ClientTraffic.StartAsync(Reading(rate: 1), _time, default);
        await UntilAsync(() => requests == 2);
        await client.DisposeAsync();
        Assert.That(requests, Is.EqualTo(2));
    }

    private static Task Answer(HttpContext context, int status, string body)
    {
        context.Response.StatusCode = status;
        return context.Response.WriteAsync(body);
    }

    private static Task Session(HttpContext context, string session, string body) =>
        HttpMethods.IsGet(context.Request.Method) ? Answer(context, 200, "{}")
        : context.Request.Headers.Authorization == $"Bearer {session}" ? Answer(context, 200, body)
        : Answer(context, 401, """{"detail":"Invalid or expired session token."}""");

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!condition())
        {
            await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System, limit.Token);
        }
    }

    private async Task AdvanceAsync(ClientTraffic client, TimeSpan by, int answered)
    {
        _time.Advance(by);
        await UntilAsync(() => client.Answered == answered);
    }

    private ClientPlan Reading(int rate) => Plan(rate) with { OrdersHost = null };

    private ClientPlan Plan(int rate) => new()
    {
        Hosts = [Host],
        OrdersHost = Host,
        Slots = [new ClientSlot("blue", Blue, new Secret("blue-session")), new ClientSlot("green", Green, new Secret("green-session"))],
        NameServers = [_dns.ToString()],
        HttpsPort = _blue.Port,
        CertificateAuthority = _authorityFile,
        Rate = rate,
        Patience = TimeSpan.FromHours(1),
    };
}
