using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class NameServersTests
{
    private const string Blue = "127.20.0.10";
    private const string Green = "127.20.0.20";
    private static readonly string[] Hosts = [.. Enumerable.Range(1, 6).Select(i => $"h{i}.aether.example.com")];

    private readonly SkippingTime _time = new();
    private readonly Lines _progress = new();

    [Test]
    public async Task All_servers_are_asked_for_every_host_over_both_transports_without_recursion()
    {
        await using var one = new NameServerDouble(_ => new DnsReply(Green));
        await using var two = new NameServerDouble(_ => new DnsReply(Green));

        await Servers(one, two).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), TimeSpan.Zero, default);

        foreach (var server in new[] { one, two })
        {
            Assert.That(
                server.Questions.Select(question => (question.Name, question.Tcp)),
                Is.EquivalentTo(Hosts.SelectMany(host => new[] { (host, false), (host, true) })));
            Assert.That(server.Questions.Select(question => question.RecursionDesired), Is.All.False);
        }
    }

    [Test]
    public async Task A_late_server_is_waited_for_and_progress_names_it()
    {
        var start = _time.GetUtcNow();
        await using var one = new NameServerDouble(_ => new DnsReply(Green));
        await using var two = new NameServerDouble(_ => new DnsReply(_time.GetUtcNow() - start < TimeSpan.FromSeconds(45) ? Blue : Green));

        await Servers(one, two).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), TimeSpan.FromMinutes(20), default);

        Assert.That(_time.GetUtcNow() - start, Is.InRange(TimeSpan.FromSeconds(45), TimeSpan.FromSeconds(47)));
        Assert.That(_progress.All, Has.Some.EqualTo(
            $"waiting for all name servers to answer {Green} for 6 hosts (2 s of 1200 s): {two} gives {Blue} for h1.aether.example.com, "
            + "h2.aether.example.com, h3.aether.example.com, h4.aether.example.com and 2 more"));
        Assert.That(one.Questions, Has.Count.LessThan(30), "a server that is right already is not asked again each round");
    }

    [Test]
    public async Task Servers_that_never_agree_are_told_with_their_answers()
    {
        await using var one = new NameServerDouble(question => new DnsReply(question.Name == Hosts[0] ? Blue : Green));
        await using var two = new NameServerDouble(question => question.Name == Hosts[1]
            ? new DnsReply() { ResponseCode = 3 }
            : new DnsReply(Green));

        var failure = await FailureAsync(Servers(one, two));

        Assert.That(failure.Message, Is.EqualTo(
            $"Waited 5 s for all name servers to answer {Green} for 6 hosts; last seen: {one} gives {Blue} for {Hosts[0]}; "
            + $"{two} gives no such name (NXDOMAIN) for {Hosts[1]}."));
    }

    [Test]
    public async Task A_server_that_answers_differently_over_TCP_does_not_agree()
    {
        await using var server = new NameServerDouble(question => new DnsReply(question.Tcp ? Blue : Green));

        var failure = await FailureAsync(Servers(server));

        Assert.That(failure.Message, Does.Contain($"{server} gives {Blue} over TCP for h1.aether.example.com"));
    }

    [Test]
    public async Task A_truncated_answer_is_asked_again_over_TCP()
    {
        await using var server = new NameServerDouble(question => question.Tcp ? new DnsReply(Green) : new DnsReply { Truncated = true });

        await Servers(server).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), TimeSpan.Zero, default);

        Assert.That(server.Questions.Count(question => question.Tcp), Is.EqualTo(12));
    }

    [Test]
    public async Task An_answer_without_authority_is_only_a_cache_and_does_not_count()
    {
        await using var server = new NameServerDouble(_ => new DnsReply(Green) { Authoritative = false });

        var failure = await FailureAsync(Servers(server));

        Assert.That(failure.Message, Does.Contain($"{server} gives {Green}, but without authority for"));
    }

    [Test]
    public async Task Two_addresses_are_not_the_one_that_was_wanted()
    {
        await using var server = new NameServerDouble(_ => new DnsReply(Blue, Green));

        var failure = await FailureAsync(Servers(server));

        Assert.That(failure.Message, Does.Contain($"{server} gives {Blue} and {Green} for"));
    }

    [Test]
    public async Task Silence_is_no_agreement()
    {
        await using var one = new NameServerDouble(_ => new DnsReply(Green));
        await using var two = new NameServerDouble(_ => null);

        var failure = await FailureAsync(Servers(one, two), TimeSpan.Zero);

        Assert.That(failure.Message, Does.Contain($"{two} gives no answer for"));
    }

    [Test]
    public async Task Answers_are_the_address_where_servers_agree_and_all_of_them_where_not()
    {
        await using var one = new NameServerDouble(_ => new DnsReply(Green));
        await using var two = new NameServerDouble(question => question.Name == Hosts[1] ? new DnsReply(Blue)
            : question.Name == Hosts[2] ? new DnsReply { ResponseCode = 5 }
            : new DnsReply(Green));

        var answers = await Servers(one, two).AnswersAsync(Hosts[..3], default);

        Assert.That(answers, Is.EqualTo(new Dictionary<string, string>
        {
            [Hosts[0]] = Green,
            [Hosts[1]] = $"{Green} | {Blue}",
            [Hosts[2]] = $"{Green} | refusal (REFUSED)",
        }));
    }

    [Test]
    public async Task A_server_may_be_given_by_name()
    {
        await using var server = new NameServerDouble(_ => new DnsReply(Green));
        var servers = new NameServers([$"localhost:{server.EndPoint.Port}"], _time, _progress);

        var answers = await servers.AnswersAsync(Hosts[..1], default);

        Assert.That(answers[Hosts[0]], Is.EqualTo(Green));
    }

    [Test]
    public async Task Without_servers_those_of_the_zones_NS_records_are_asked()
    {
        await using var resolver = new NameServerDouble(question => question switch
        {
            { Name: "aether.example.com", Type: 2 } => new DnsReply("ns1.provider.test") { Authoritative = false },
            { Name: "ns1.provider.test", Type: 1 } => new DnsReply("127.77.53.53") { Authoritative = false },
            _ => new DnsReply { Authoritative = false },
        });
        var servers = new NameServers([], _time, _progress, resolver: resolver.EndPoint);

        var answers = await servers.AnswersAsync([Hosts[0]], default);

        Assert.That(answers[Hosts[0]], Is.EqualTo("no answer"), "nothing listens on 127.77.53.53, but it was found and asked");
        Assert.That(resolver.Questions.Select(question => question.Name), Has.Member("ns1.provider.test"));
        Assert.That(resolver.Questions.Select(question => question.RecursionDesired), Is.All.True);
    }

    [Test]
    public async Task A_zone_without_NS_records_is_told()
    {
        await using var resolver = new NameServerDouble(_ => new DnsReply { ResponseCode = 3 });
        var servers = new NameServers([], _time, _progress, resolver: resolver.EndPoint);

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => servers.AnswersAsync([Hosts[0]], default)))!;

        Assert.That(failure.Message, Is.EqualTo($"No NS records were found for {Hosts[0]} or any zone above it."));
    }

    [Test]
    public async Task A_port_that_is_none_is_told()
    {
        var servers = new NameServers(["ns1.example.com:dns"], _time, _progress);

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => servers.AnswersAsync(Hosts, default)))!;

        Assert.That(failure.Message, Is.EqualTo("The name server 'ns1.example.com:dns' is neither a name nor an address with a port."));
    }

    [Test]
    public async Task IPv6_answers_have_to_follow_where_the_slot_has_an_IPv6_address()
    {
        await using var server = new NameServerDouble(question => question switch
        {
            { Type: 1 } => new DnsReply(Green),
            { Name: var name } when name == Hosts[0] => new DnsReply("2001:db8::b"),
            { Name: var name } when name == Hosts[1] => new DnsReply("2001:db8::9"),
            _ => new DnsReply(),
        });

        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => Servers(server).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green, "2001:db8::9"), TimeSpan.Zero, default)))!;

        Assert.That(failure.Message, Does.EndWith($"last seen: {server} gives 2001:db8::b for {Hosts[0]}."), "hosts without an AAAA record leave nobody behind");
    }

    [Test]
    public async Task In_CNAME_mode_an_alias_counts_whether_its_address_comes_with_it_or_from_another_zone()
    {
        const string live = "live.edge.example.net";
        await using var server = new NameServerDouble(question =>
            question.Name == live ? new DnsReply(Green) : question.Name == Hosts[0] ? new DnsReply(live) : new DnsReply(live, Green));

        await new NameServers([server.ToString()], _time, _progress, live).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), TimeSpan.Zero, default);

        Assert.That(server.Questions.Select(question => question.Name), Has.Member(live), "the address is asked for where it is kept");
    }

    [Test]
    public async Task In_CNAME_mode_an_alias_of_another_name_does_not_count()
    {
        const string live = "live.edge.example.net";
        await using var server = new NameServerDouble(question =>
            question.Name == live ? new DnsReply(Green) : new DnsReply(question.Name == Hosts[2] ? "other.example.net" : live));

        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => new NameServers([server.ToString()], _time, _progress, live).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), TimeSpan.Zero, default)))!;

        Assert.That(failure.Message, Does.EndWith($"last seen: {server} gives an alias of other.example.net for {Hosts[2]}."));
    }

    [Test]
    public async Task Cancellation_ends_the_wait()
    {
        using var stop = new CancellationTokenSource();
        await using var server = new NameServerDouble(_ => new DnsReply(Blue));
        _time.OnPause = _ => stop.Cancel();

        await Assert.ThatAsync(
            () => Servers(server).WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), TimeSpan.FromMinutes(5), stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
    }

    private NameServers Servers(params NameServerDouble[] servers) =>
        new([.. servers.Select(server => server.ToString())], _time, _progress);

    private static async Task<RolloutException> FailureAsync(NameServers servers, TimeSpan? timeout = null) =>
        (await Assert.ThrowsAsync<RolloutException>(
            () => servers.WaitUntilAllAnswerAsync(Hosts, new SlotAddress(Green), timeout ?? TimeSpan.FromSeconds(5), default)))!;
}
