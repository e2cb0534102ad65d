using Rollout.Tests.Support;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DnsZoneTests
{
    private const long ZoneId = 7;
    private const string Blue = "127.20.0.10";
    private const string Green = "127.20.0.20";
    private static readonly string[] Hosts =
    [
        .. ("auth accounts behavior advisor benchmark config fees volatility seasonality "
            + "oms override policy hitl risk strategy secrets universe ui").Split(' ').Select(name => $"{name}.aether.example.com"),
    ];

    private readonly SkippingTime _time = new();
    private readonly Lines _progress = new();
    private LinodeDouble _linode = null!;
    private DnsZone _zone = null!;

    [SetUp]
    public async Task Start()
    {
        _linode = await LinodeDouble.StartAsync();
        _linode.AddZone(ZoneId, "aether.example.com", ttl: 600);
        _zone = ZoneOf(_linode.Api, LinodeDouble.Token);
    }

    [TearDown]
    public async Task Stop()
    {
        _zone.Dispose();
        await _linode.DisposeAsync();
    }

    [Test]
    public async Task A_run_that_loses_the_lock_half_way_neither_goes_on_nor_takes_back()
    {
        foreach (var host in Hosts)
        {
            _linode.AddRecord(ZoneId, "A", host.Split('.')[0], Blue, 300);
        }

        var before = await _zone.ReadAsync(Hosts, default);
        var writes = 0;
        using var zone = ZoneOf(_linode.Api, LinodeDouble.Token, ct => Interlocked.Increment(ref writes) > 1 ? Fences.Closed(ct) : Fences.Open(ct));
        Assert.That(() => PointAsync(before, zone: zone), Throws.TypeOf<RolloutException>().With.Property("ExitCode").EqualTo(ExitCode.Refused));
        var after = await _zone.ReadAsync(Hosts, default);
        Assert.That(after.Count(r => r.Target == Green), Is.EqualTo(1), "what stands now belongs to the run that has the lock");
    }

    [Test]
    public async Task Read_gives_one_record_a_host_from_the_zone_with_the_longest_name()
    {
        _linode.AddZone(1, "example.com");
        _linode.AddZone(2, "staging.aether.example.com");
        var own = _linode.AddRecord(ZoneId, "A", "oms", Blue, 300);
        var other = _linode.AddRecord(2, "A", "oms", "192.0.2.9", 120);

        var records = await _zone.ReadAsync(["oms.aether.example.com", "oms.staging.aether.example.com"], default);

        Assert.That(records, Is.EqualTo(new[]
        {
            new HostRecord("oms.aether.example.com", "A", Blue, 300, $"{ZoneId}/records/{own}"),
            new HostRecord("oms.staging.aether.example.com", "A", "192.0.2.9", 120, $"{2}/records/{other}"),
        }));
    }

    [Test]
    public async Task Read_reads_every_page()
    {
        Serve18();
        _linode.LargestPage = 5;

        var records = await _zone.ReadAsync(Hosts, default);

        Assert.That(records.Select(record => record.Host), Is.EqualTo(Hosts));
        Assert.That(
            _linode.Calls.Count(call => call.Path.Contains("/records?", StringComparison.Ordinal)),
            Is.EqualTo(4),
            "18 records are 4 pages of 5");
    }

    [Test]
    public async Task Read_starts_over_when_the_list_changes_between_two_pages()
    {
        Serve18();
        _linode.LargestPage = 10;
        var added = false;
        _linode.AfterEffect = call =>
        {
            if (!added && call.Path.Contains("/records?page=2", StringComparison.Ordinal))
            {
                added = true;
                _linode.AddRecord(ZoneId, "A", "added", Blue);
            }
        };

        Assert.That(await _zone.ReadAsync(Hosts, default), Has.Count.EqualTo(18));
        Assert.That(_linode.Calls.Count(call => call.Path.Contains("/records?page=1", StringComparison.Ordinal)), Is.EqualTo(2));
    }

    [Test]
    public async Task Read_translates_a_ttl_of_0_into_the_zones_default_and_that_into_a_day()
    {
        _linode.AddZone(8, "other.example.com", ttl: 0);
        _linode.AddRecord(ZoneId, "A", "oms", Blue, 0);
        _linode.AddRecord(8, "A", "oms", Blue, 0);

        var records = await _zone.ReadAsync(["oms.aether.example.com", "oms.other.example.com"], default);

        Assert.That(records.Select(record => record.TtlSeconds), Is.EqualTo(new[] { 600, 86400 }));
    }

    [Test]
    public async Task Read_takes_names_as_people_and_Linode_write_them()
    {
        _linode.AddRecord(ZoneId, "A", "OMS", Blue);
        _linode.AddRecord(ZoneId, "A", "risk.aether.example.com", Blue);
        _linode.AddRecord(ZoneId, "A", "", Blue);

        var records = await _zone.ReadAsync(["oms.Aether.example.com.", "risk.aether.example.com", "aether.example.com"], default);

        Assert.That(
            records.Select(record => record.Host),
            Is.EqualTo(new[] { "oms.aether.example.com", "risk.aether.example.com", "aether.example.com" }));
    }

    [Test]
    public async Task Read_refuses_with_all_problems_at_once()
    {
        _linode.AddZone(8, "slave.example.com", type: "slave");
        _linode.AddZone(9, "off.example.com", status: "disabled");
        _linode.AddRecord(8, "A", "oms", Blue);
        _linode.AddRecord(9, "A", "oms", Blue);
        _linode.AddRecord(ZoneId, "A", "two", Blue);
        _linode.AddRecord(ZoneId, "A", "two", Green);
        _linode.AddRecord(ZoneId, "A", "six", Blue);
        _linode.AddRecord(ZoneId, "AAAA", "six", "2001:db8::1");
        _linode.AddRecord(ZoneId, "AAAA", "six", "2001:db8::2");
        _linode.AddRecord(ZoneId, "CNAME", "alias", "live.aether.example.com");
        _linode.AddRecord(ZoneId, "A", "*.deep", Blue);

        var refusal = (await Assert.ThrowsAsync<RolloutException>(() => _zone.ReadAsync(
            [
                "oms.elsewhere.test", "oms.slave.example.com", "oms.off.example.com", "two.aether.example.com", "six.aether.example.com",
                "alias.aether.example.com", "gone.aether.example.com", "wild.deep.aether.example.com",
            ],
            default)))!;

        Assert.That(refusal.Message, Is.EqualTo(
            "8 problems in the DNS zone: "
            + "oms.elsewhere.test: no zone of this Linode account contains it "
                + "(zones: aether.example.com, slave.example.com, off.example.com); "
            + "zone slave.example.com is a slave zone: its records are edited at its master, not at Linode; "
            + "zone off.example.com has the status disabled: only an active zone is served; "
            + "two.aether.example.com has 2 A records (127.20.0.10, 127.20.0.20): a round robin cannot be flipped; "
            + "six.aether.example.com has 2 AAAA records (2001:db8::1, 2001:db8::2): a round robin cannot be flipped; "
            + "alias.aether.example.com is an alias (CNAME) of live.aether.example.com; "
            + "gone.aether.example.com has no A record; "
            + "wild.deep.aether.example.com has no A record of its own, only the wildcard *.deep.aether.example.com."));
        Assert.That(refusal.Hint, Does.Contain("exactly one A record"));
    }

    [Test]
    public async Task Point_moves_every_host_and_writes_nothing_but_the_target()
    {
        var current = await Serve18AndReadAsync();

        await PointAsync(current);

        Assert.That(_linode.Targets(), Is.All.EqualTo(Green));
        Assert.That(_linode.Writes.Select(call => call.Body), Is.All.EqualTo($$"""{"target":"{{Green}}"}"""));
        Assert.That(_linode.Writes.Count(), Is.EqualTo(18));
    }

    [Test]
    public async Task Point_does_not_write_records_that_are_right_already()
    {
        var current = await Serve18AndReadAsync();
        _linode.SetTarget(IdOf(current[4]), Green);

        await PointAsync(current);
        await PointAsync(current);

        Assert.That(_linode.Targets(), Is.All.EqualTo(Green));
        Assert.That(_linode.Writes.Count(), Is.EqualTo(17), "one was right before, and all were right the second time");
    }

    [Test]
    public async Task Point_is_all_or_none_whichever_write_fails([Range(1, 18)] int failing)
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number == failing ? Reaction.Error(400, "Must be a valid IPv4 address") : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        var host = HostOf(_linode.Writes.Single(call => call.Number == failing).RecordId, current);
        Assert.That(_linode.Targets(), Is.All.EqualTo(Blue));
        Assert.That(failure.Message, Is.EqualTo(
            $"{host} could not be pointed to {Green}: Linode answered 400 Bad Request: Must be a valid IPv4 address. "
                + $"All 18 hosts point to {Blue} again."));
        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Failed));
    }

    [Test]
    public async Task Point_that_fails_takes_back_hosts_an_earlier_attempt_had_moved()
    {
        var current = await Serve18AndReadAsync();
        foreach (var record in current.Take(6))
        {
            _linode.SetTarget(IdOf(record), Green);
        }

        _linode.Misbehave = call => call.Number == 9 ? Reaction.Error(403, "no scope") : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(failure.Message, Does.EndWith($"All 18 hosts point to {Blue} again."));
        Assert.That(_linode.Targets(), Is.All.EqualTo(Blue));
    }

    [Test]
    public async Task Point_refuses_before_writing_when_somebody_else_edited_the_zone()
    {
        var current = await Serve18AndReadAsync();
        _linode.SetTarget(IdOf(current[3]), "192.0.2.77");
        var stale = current.Select((record, i) => i == 5 ? record with { TtlSeconds = 3600 } : record).ToList();

        var refusal = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(stale)))!;

        Assert.That(refusal.Message, Is.EqualTo(
            "Somebody else changed the DNS zone since it was read: advisor.aether.example.com points to 192.0.2.77, not 127.20.0.10; "
            + "config.aether.example.com has a TTL of 300 s, not 3600 s. Nothing was written."));
        Assert.That(_linode.Writes, Is.Empty);
    }

    [Test]
    public async Task Point_leaves_a_foreign_edit_during_the_flip_alone_restores_the_rest_and_calls_a_person()
    {
        var current = await Serve18AndReadAsync();
        _linode.AfterEffect = call =>
        {
            if (call.Number == 18)
            {
                _linode.SetTarget(IdOf(current[0]), "192.0.2.77");
            }
        };

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Held));
        Assert.That(failure.Message, Does.Contain("auth.aether.example.com reads 192.0.2.77 after 127.20.0.20 was written"));
        Assert.That(
            failure.Message,
            Does.Contain("at 192.0.2.77: auth.aether.example.com (before: 127.20.0.10). The other 17 of 18 hosts point to 127.20.0.10."));
        Assert.That(_linode.Targets(), Is.EqualTo(Enumerable.Repeat(Blue, 17).Prepend("192.0.2.77")));
    }

    private static IEnumerable<TestCaseData> PassingTroubles()
    {
        yield return new TestCaseData(new Reaction(429, """{"errors":[{"reason":"Too many requests"}]}""").WithHeader("Retry-After", "17"))
            .SetArgDisplayNames("429 with Retry-After");
        yield return new TestCaseData(Reaction.Page(502)).SetArgDisplayNames("502 with an HTML page");
        yield return new TestCaseData(Reaction.Page(400)).SetArgDisplayNames("400 of the front proxy");
        yield return new TestCaseData(Reaction.Error(400, "Linode busy.")).SetArgDisplayNames("Linode busy");
        yield return new TestCaseData(Reaction.Error(408, "Request timeout")).SetArgDisplayNames("408");
        yield return new TestCaseData(Reaction.Error(503, "Unavailable")).SetArgDisplayNames("503");
        yield return new TestCaseData(Reaction.LostAnswer() with { TakesEffect = false })
            .SetArgDisplayNames("connection cut without effect");
    }

    [TestCaseSource(nameof(PassingTroubles))]
    public async Task Point_asks_again_by_Linodes_rules(Reaction trouble)
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number is 5 or 6 ? trouble : null;

        await PointAsync(current);

        Assert.That(_linode.Targets(), Is.All.EqualTo(Green));
        Assert.That(_linode.Writes.Count(), Is.EqualTo(20), "18 writes and two of them again");
        if (trouble.Status == 429)
        {
            Assert.That(_time.Pauses, Has.Member(TimeSpan.FromSeconds(17)), "Retry-After is obeyed");
            Assert.That(_progress.All, Has.Some.EqualTo("Linode answered 429 Too Many Requests: Too many requests; asking again in 17 s"));
        }
    }

    [Test]
    public async Task Point_waits_until_the_rate_limit_is_reset_when_there_is_no_Retry_After()
    {
        var current = await Serve18AndReadAsync();
        var reset = _time.GetUtcNow().AddSeconds(20).ToUnixTimeSeconds();
        _linode.Misbehave = call => call.Number == 1
            ? Reaction.Error(429, "Too many requests").WithHeader("X-RateLimit-Reset", $"{reset}")
            : null;

        await PointAsync(current);

        Assert.That(_time.Pauses, Has.Member(TimeSpan.FromSeconds(20)));
    }

    [Test]
    public async Task Point_reads_after_a_lost_answer_instead_of_writing_again()
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number == 7 ? Reaction.LostAnswer() : null;

        await PointAsync(current);

        var record = _linode.Writes.Single(call => call.Number == 7).RecordId;
        Assert.That(_linode.Targets(), Is.All.EqualTo(Green));
        Assert.That(_linode.Calls.Where(call => call.RecordId == record).Select(call => call.Method), Is.EqualTo(new[] { "PUT", "GET" }));
    }

    [Test]
    public async Task Point_does_not_ask_again_during_maintenance()
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number == 1 ? Reaction.Error(503, "Down").WithHeader("X-Maintenance-Mode", "all,Tonight") : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(
            failure.Message,
            Does.Contain("Linode answered 503 Service Unavailable: Down (maintenance). All 18 hosts point to 127.20.0.10 again."));
    }

    [Test]
    public async Task Point_gives_up_when_Linode_asks_to_wait_too_long()
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number == 1 ? Reaction.Error(429, "Slow").WithHeader("Retry-After", "900") : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(failure.Message, Does.Contain("asks to wait 900 s, more than the 60 s a flip may wait"));
        Assert.That(_linode.Targets(), Is.All.EqualTo(Blue));
    }

    [Test]
    public async Task Cancellation_in_the_middle_moves_the_hosts_back()
    {
        var current = await Serve18AndReadAsync();
        using var stop = new CancellationTokenSource();
        _linode.AfterEffect = call =>
        {
            if (call.Number == 9)
            {
                stop.Cancel();
            }
        };

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current, cancellationToken: stop.Token)))!;

        Assert.That(_linode.Targets(), Is.All.EqualTo(Blue));
        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Interrupted));
        Assert.That(failure.Message, Is.EqualTo($"Pointing 18 hosts to {Green} was interrupted. All 18 hosts point to {Blue} again."));
        Assert.That(
            _linode.Writes.Count(),
            Is.GreaterThanOrEqualTo(18).And.LessThan(36),
            "at least nine there, the same back, and not all of them");
    }

    [Test]
    public async Task Restoration_begins_with_the_newest_write()
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number == 18 ? Reaction.Error(400, "no") : null;

        await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current));

        var there = _linode.Writes.Take(18).Select(call => call.RecordId).ToList();
        var back = _linode.Writes.Skip(18).Select(call => call.RecordId).ToList();
        Assert.That(back, Has.Count.EqualTo(17), "the refused record never moved");
        Assert.That(there.IndexOf(back[0]), Is.GreaterThanOrEqualTo(9), "a few are written at once, so the order is not exact");
        Assert.That(there.IndexOf(back[^1]), Is.LessThan(9));
    }

    [Test]
    public async Task Restoration_goes_on_through_passing_troubles()
    {
        var current = await Serve18AndReadAsync();
        _linode.Misbehave = call => call.Number switch
        {
            12 => Reaction.Error(400, "no"),
            > 12 and < 40 => Reaction.Error(404, "Not found"),
            _ => null,
        };

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(_linode.Targets(), Is.All.EqualTo(Blue));
        Assert.That(failure.Message, Does.EndWith($"All 18 hosts point to {Blue} again."));
    }

    [Test]
    public async Task A_restoration_that_cannot_finish_says_where_every_host_is()
    {
        var current = await Serve18AndReadAsync();
        var stuck = IdOf(current[1]);
        _linode.Misbehave = call => call.Number == 18 || (call.RecordId == stuck && call.Number > 18) ? Reaction.Error(400, "no") : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Held));
        Assert.That(failure.Message, Does.EndWith(
            "Moving the hosts back is incomplete (accounts.aether.example.com: Linode answered 400 Bad Request: no); "
            + "at 127.20.0.20: accounts.aether.example.com (before: 127.20.0.10). The other 17 of 18 hosts point to 127.20.0.10."));
        Assert.That(failure.Hint, Does.Contain("by hand"));
        Assert.That(_linode.Targets().Count(target => target == Green), Is.EqualTo(1));
    }

    [Test]
    public async Task A_restoration_without_any_answer_ends_and_says_that_nothing_is_known()
    {
        var current = await Serve18AndReadAsync();
        var down = false;
        _linode.Misbehave = call => (down |= call.Number == 3) ? Reaction.Page(502) : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PointAsync(current)))!;

        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Held));
        Assert.That(failure.Message, Does.Contain("in an unknown place: "));
    }

    [TestCase("candidate.example.com")]
    [TestCase("2001:db8::1")]
    [TestCase("[remote_addr]")]
    public async Task Point_takes_nothing_but_an_IPv4_address(string address)
    {
        var refusal = (await Assert.ThrowsAsync<RolloutException>(() => _zone.PointAsync([], new SlotAddress(address), Task.FromResult, default)))!;

        Assert.That(refusal.Message, Is.EqualTo($"'{address}' is not an IPv4 address, and an A record takes nothing else."));
        Assert.That(_linode.Calls, Is.Empty);
    }

    [Test]
    public async Task A_refused_token_is_told_without_the_token()
    {
        using var zone = ZoneOf(_linode.Api, "wrong-token");

        var refusal = (await Assert.ThrowsAsync<RolloutException>(() => zone.ReadAsync(Hosts, default)))!;

        Assert.That(refusal.Message, Is.EqualTo("Linode answered 401 Unauthorized: Invalid Token"));
        Assert.That(refusal.Hint, Does.Contain("domains:read_write").And.Not.Contain("wrong-token"));
    }

    [Test]
    public async Task An_unreachable_api_is_told_with_its_address()
    {
        using var zone = ZoneOf(new Uri("http://127.0.0.1:1/v4"), "x");

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => zone.ReadAsync(Hosts, default)))!;

        Assert.That(failure.Message, Is.EqualTo("The Linode API at http://127.0.0.1:1/v4 gave no answer: Connection refused"));
    }

    [Test]
    public async Task A_flip_of_18_hosts_is_one_look_18_writes_and_one_look_and_not_a_call_more()
    {
        Serve18();
        for (var i = 0; i < 400; i++)
        {
            _linode.AddRecord(ZoneId, "TXT", $"note-{i}", "nobody asked");
        }

        var (_, written) = await _zone.PointAsync(Hosts, new SlotAddress(Green), Task.FromResult, default);
        Assert.That(written, Is.EqualTo(18));
        Assert.That(_linode.Calls.Select(Shape).Take(2), Is.EqualTo(new[] { "GET /v4/domains", "GET /v4/domains/7/records" }), "zones, then their records, in a page each");
        Assert.That(_linode.Calls.Select(Shape).Skip(2).Take(18), Is.All.StartsWith("PUT /v4/domains/7/records/"));
        Assert.That(_linode.Calls.Select(Shape).Skip(20), Is.EqualTo(new[] { "GET /v4/domains/7/records" }), "what was written is read back once");

        _linode.Calls.Clear();
        await _zone.PointAsync(Hosts, new SlotAddress(Blue), Task.FromResult, default);
        Assert.That(_linode.Calls, Has.Count.EqualTo(1 + 18 + 1), "the way back does not ask for the zones again");

        _linode.Calls.Clear();
        await _zone.PointAsync(Hosts, new SlotAddress(Blue), Task.FromResult, default);
        Assert.That(_linode.Calls, Has.Count.EqualTo(2), "nothing to write: a look before and after");
        static string Shape(LinodeCall call) => $"{call.Method} {call.Path.Split('?')[0]}";
    }

    [Test]
    public async Task Nothing_is_written_before_the_intent_is_kept()
    {
        Serve18();

        Assert.That(
            () => _zone.PointAsync(Hosts, new SlotAddress(Green), _ => throw new RolloutException("The journal is full."), default),
            Throws.TypeOf<RolloutException>().With.Message.EqualTo("The journal is full."));
        Assert.That(_linode.Writes, Is.Empty);
    }

    [Test]
    public async Task A_flip_moves_the_AAAA_record_beside_the_A_record()
    {
        _linode.AddRecord(ZoneId, "A", "oms", Blue);
        var six = _linode.AddRecord(ZoneId, "AAAA", "oms", "2001:db8::b");
        _linode.AddRecord(ZoneId, "A", "ui", Blue);

        var (before, written) = await _zone.PointAsync(
            ["oms.aether.example.com", "ui.aether.example.com"], new SlotAddress(Green, "2001:0db8:0::9"), Task.FromResult, default);

        Assert.That(written, Is.EqualTo(3));
        Assert.That(before.Select(record => (record.Type, record.Target)), Is.EqualTo(new[] { ("A", Blue), ("AAAA", "2001:db8::b"), ("A", Blue) }));
        Assert.That(_linode.Writes.Single(call => call.RecordId == six).Body, Is.EqualTo("""{"target":"2001:db8::9"}"""), "in the one spelling that is compared");
        Assert.That(_linode.Targets(), Is.All.EqualTo(Green));
    }

    [Test]
    public async Task A_flip_takes_both_records_back_when_the_AAAA_record_is_refused()
    {
        _linode.AddRecord(ZoneId, "A", "oms", Blue);
        var six = _linode.AddRecord(ZoneId, "AAAA", "oms", "2001:db8::b");
        _linode.Misbehave = call => call.Method == "PUT" && call.RecordId == six ? Reaction.Error(400, "no") : null;

        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => _zone.PointAsync(["oms.aether.example.com"], new SlotAddress(Green, "2001:db8::9"), Task.FromResult, default)))!;

        Assert.That(failure.Message, Is.EqualTo(
            "the AAAA record of oms.aether.example.com could not be pointed to 2001:db8::9: Linode answered 400 Bad Request: no. "
            + "oms.aether.example.com points where it did before again."));
        Assert.That(_linode.Targets(), Is.All.EqualTo(Blue));
    }

    [Test]
    public async Task A_flip_that_would_leave_IPv6_clients_behind_is_refused_before_any_write()
    {
        _linode.AddRecord(ZoneId, "A", "oms", Blue);
        _linode.AddRecord(ZoneId, "AAAA", "oms", "2001:db8::b");

        var refusal = (await Assert.ThrowsAsync<RolloutException>(
            () => _zone.PointAsync(["oms.aether.example.com"], new SlotAddress(Green), Task.FromResult, default)))!;

        Assert.That(refusal.Message, Is.EqualTo(
            "oms.aether.example.com has an AAAA record (2001:db8::b), and the slot at 127.20.0.20 has no IPv6 address: IPv6 clients would stay behind. Nothing was written."));
        Assert.That(_linode.Writes, Is.Empty);
    }

    [Test]
    public async Task In_CNAME_mode_one_write_moves_all_18_hosts_and_back()
    {
        _linode.AddZone(8, "edge.example.net", ttl: 30);
        var live = _linode.AddRecord(8, "A", "live", Blue, 30);
        foreach (var host in Hosts)
        {
            _linode.AddRecord(ZoneId, "CNAME", host.Split('.')[0], "Live.edge.example.net.", 3600);
        }

        using var zone = ZoneOf(_linode.Api, LinodeDouble.Token, alias: "live.edge.example.net");
        var (before, written) = await zone.PointAsync(Hosts, new SlotAddress(Green), Task.FromResult, default);
        await zone.PointAsync(Hosts, new SlotAddress(Blue), Task.FromResult, default);

        Assert.That(before, Is.EqualTo(new[] { new HostRecord("live.edge.example.net", "A", Blue, 30, $"8/records/{live}") }), "the TTL that counts is the one record's");
        Assert.That(written, Is.EqualTo(1));
        Assert.That(_linode.Writes.Select(call => (call.RecordId, call.Body)), Is.EqualTo(new[]
        {
            (live, $$"""{"target":"{{Green}}"}"""), (live, $$"""{"target":"{{Blue}}"}"""),
        }));
    }

    [Test]
    public async Task In_CNAME_mode_a_host_that_is_no_alias_is_refused()
    {
        _linode.AddRecord(ZoneId, "A", "live", Blue);
        _linode.AddRecord(ZoneId, "CNAME", "oms", "live.aether.example.com");
        _linode.AddRecord(ZoneId, "A", "ui", Blue);
        _linode.AddRecord(ZoneId, "CNAME", "risk", "other.aether.example.com");
        using var zone = ZoneOf(_linode.Api, LinodeDouble.Token, alias: "live.aether.example.com");

        var refusal = (await Assert.ThrowsAsync<RolloutException>(
            () => zone.ReadAsync(["oms.aether.example.com", "ui.aether.example.com", "risk.aether.example.com", "gone.aether.example.com"], default)))!;

        Assert.That(refusal.Message, Is.EqualTo(
            "3 problems in the DNS zone: ui.aether.example.com has A 127.20.0.10, and should be an alias (CNAME) of live.aether.example.com; "
            + "risk.aether.example.com has CNAME other.aether.example.com, and should be an alias (CNAME) of live.aether.example.com; "
            + "gone.aether.example.com has no record, and should be an alias (CNAME) of live.aether.example.com."));
    }

    [Test]
    public async Task A_used_up_allowance_is_waited_for_before_the_next_call()
    {
        var current = await Serve18AndReadAsync();
        var reset = _time.GetUtcNow().AddSeconds(30).ToUnixTimeSeconds();
        // Every answer says so: of writes that are under way together, one may be sent before another's answer is read.
        _linode.Misbehave = call => call.Number > 0
            ? new Reaction(200, """{"id":1,"type":"A","target":"127.20.0.20"}""") { TakesEffect = true }
                .WithHeader("X-RateLimit-Remaining", "0").WithHeader("X-RateLimit-Reset", $"{reset}")
            : null;

        await PointAsync(current);

        Assert.That(_linode.Targets(), Is.All.EqualTo(Green));
        Assert.That(_progress.All, Has.Some.StartsWith("Linode's rate limit is used up; going on in "));
        Assert.That(_time.GetUtcNow().ToUnixTimeSeconds(), Is.GreaterThanOrEqualTo(reset));
    }

    private void Serve18()
    {
        foreach (var host in Hosts)
        {
            _linode.AddRecord(ZoneId, "A", host.Split('.')[0], Blue);
        }
    }

    private async Task<IReadOnlyList<HostRecord>> Serve18AndReadAsync()
    {
        Serve18();
        return await _zone.ReadAsync(Hosts, default);
    }

    private DnsZone ZoneOf(Uri api, string token, Fence? fence = null, string? alias = null) =>
        new(new LinodeDomains(api, new Secret(token), fence ?? Fences.Open, _time, _progress), alias, _time, _progress);

    // As the journal has them, the records were like this before the flip began.
    private Task<(IReadOnlyList<HostRecord> Before, int Written)> PointAsync(
        IReadOnlyList<HostRecord> before, DnsZone? zone = null, CancellationToken cancellationToken = default) =>
        (zone ?? _zone).PointAsync([.. before.Select(record => record.Host)], new SlotAddress(Green), _ => Task.FromResult(before), cancellationToken);

    private static long IdOf(HostRecord record) =>
        long.Parse(record.Handle[(record.Handle.LastIndexOf('/') + 1)..], System.Globalization.CultureInfo.InvariantCulture);

    private static string HostOf(long recordId, IReadOnlyList<HostRecord> records) =>
        records.Single(record => IdOf(record) == recordId).Host;
}
