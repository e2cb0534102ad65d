using System.Net;
using System.Net.Sockets;
using DnsClient;
using Rollout.Tests.Support;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

/// <summary>Against a real Knot DNS; what a line or a liar does, a middleman does.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DynamicUpdateTests
{
    private const string Blue = KnotServer.Blue;
    private const string Green = KnotServer.Green;
    private const int Ttl = KnotServer.Ttl;

    private readonly Lines _progress = new();
    private readonly WallClock _time = new();
    private KnotServer _knot = null!;

    [SetUp]
    public async Task Start() => _knot = await KnotServer.StartAsync();

    [TearDown]
    public async Task Stop()
    {
        Assert.That(_progress.All, Has.None.Contains(_knot.Key.Reveal()), "the key is nobody's to read");
        await _knot.DisposeAsync();
    }

    [Test]
    public async Task Read_gives_addresses_and_aliases_with_their_ttl_from_the_zone_that_holds_them()
    {
        using var provider = Provider();

        var names = await provider.ReadAsync(
            [
                "oms.aether.example.com", "oms.other.example.com", "alias.other.example.com", "oms.sub.other.example.com",
                "alias.sub.other.example.com",
            ],
            default);

        Assert.That(names.Select(name => name.Problem ?? name.Wildcard), Is.All.Null);
        Assert.That(
            names.SelectMany(name => name.Records.Select(record => (name.Name, record))),
            Is.EqualTo(new[]
            {
                ("oms.aether.example.com", new ZoneRecord("A", Blue, Ttl, "aether.example.com")),
                ("oms.other.example.com", new ZoneRecord("A", Blue, Ttl, "other.example.com")),
                ("oms.other.example.com", new ZoneRecord("AAAA", "2001:db8::10", Ttl, "other.example.com")),
                ("alias.other.example.com", new ZoneRecord("CNAME", "oms.aether.example.com", Ttl, "other.example.com")),
                ("oms.sub.other.example.com", new ZoneRecord("A", Blue, 60, "sub.other.example.com")),
                ("alias.sub.other.example.com", new ZoneRecord("CNAME", "oms.other.example.com", Ttl, "sub.other.example.com")),
            }));
    }

    [Test]
    public async Task Read_says_what_could_not_be_changed_and_why()
    {
        using var provider = Provider();

        var names = await provider.ReadAsync(
            [
                "oms.elsewhere.test", "oms.delegated.aether.example.com", "oms.closed.example.com", "gone.aether.example.com",
                "two.other.example.com",
            ],
            default);

        Assert.That(names.Select(name => name.Problem), Is.EqualTo(new[]
        {
            $"oms.elsewhere.test: no zone of the name server {_knot.Address} contains it (it answers REFUSED)",
            $"oms.delegated.aether.example.com: the name server {_knot.Address} is not an authority for it, but names ns.elsewhere.test",
            $"The name server {_knot.Address} answered BADKEY for the zone closed.example.com: it does not know the key "
                + "'rollout.example.com' or does not let it update this zone",
            null,
            null,
        }));
        Assert.That(names.Select(name => name.Records.Count), Is.EqualTo(new[] { 0, 0, 1, 0, 2 }));
        Assert.That(await _knot.ChangesAsync(), Is.Zero, "the update that tries the key changes nothing");
    }

    [Test]
    public async Task Read_tells_a_wildcards_answer_from_a_record()
    {
        using var provider = Provider();

        var names = await provider.ReadAsync(["oms.deep.aether.example.com", "a.b.deep.aether.example.com", KnotServer.Hosts[0]], default);

        Assert.That(names.Select(name => (name.Wildcard, name.Records.Count)), Is.EqualTo(new[]
        {
            ("*.deep.aether.example.com", 0),
            ("*.deep.aether.example.com", 0),
            (null, 1),
        }));
    }

    [Test]
    public async Task All_hosts_of_a_zone_move_in_one_update_and_keep_their_ttl()
    {
        using var provider = Provider();
        var batch = provider.Batches(await ChangesAsync(provider, KnotServer.Hosts)).Single();

        await provider.WriteAsync(batch, default);

        foreach (var host in KnotServer.Hosts)
        {
            Assert.That(await _knot.AnswersAsync(host), Is.EqualTo(new[] { $"{Ttl} A {Green}" }), host);
        }

        Assert.That(batch, Has.Count.EqualTo(18));
        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1), "no client saw some hosts here and some there");
    }

    [Test]
    public async Task Two_hundred_hosts_move_in_one_update()
    {
        await using var knot = await KnotServer.StartAsync(hosts: 200);
        using var provider = Provider(knot.Address, key: knot.Key);
        var hosts = Enumerable.Range(1, 200).Select(i => $"h{i}.with-a-name-of-some-length.other.example.com").ToList();

        await provider.WriteAsync(provider.Batches(await ChangesAsync(provider, hosts)).Single(), default);

        var after = await provider.ReadAsync(hosts, default);
        Assert.That(after.SelectMany(name => name.Records).Select(record => record.Target), Is.All.EqualTo(Green).And.Exactly(200).Items);
        Assert.That(await knot.ChangesAsync("other.example.com"), Is.EqualTo(1));
    }

    [Test]
    public async Task A_host_moves_with_both_its_addresses_and_zones_are_batches_of_their_own()
    {
        using var provider = Provider();
        var changes = await ChangesAsync(provider, ["oms.other.example.com", KnotServer.Hosts[0], "oms.sub.other.example.com"]);

        var batches = provider.Batches(changes);
        foreach (var batch in batches)
        {
            await provider.WriteAsync(batch, default);
        }

        Assert.That(batches.Select(batch => batch.Count), Is.EqualTo(new[] { 2, 1, 1 }));
        Assert.That(await _knot.AnswersAsync("oms.other.example.com"), Is.EqualTo(new[] { $"{Ttl} A {Green}" }));
        Assert.That(await _knot.AnswersAsync("oms.other.example.com", QueryType.AAAA), Is.EqualTo(new[] { $"{Ttl} AAAA 2001:db8::20" }));
        Assert.That(await _knot.AnswersAsync("oms.sub.other.example.com"), Is.EqualTo(new[] { $"60 A {Green}" }));
    }

    [Test]
    public async Task Only_the_addresses_family_that_changes_is_touched()
    {
        using var provider = Provider();
        var changes = await ChangesAsync(provider, ["oms.other.example.com"]);

        await provider.WriteAsync([changes.Single(change => change.Record.Type == "A")], default);

        Assert.That(await _knot.AnswersAsync("oms.other.example.com", QueryType.AAAA), Is.EqualTo(new[] { $"{Ttl} AAAA 2001:db8::10" }));
    }

    [Test]
    public async Task A_write_that_took_effect_already_changes_nothing()
    {
        using var provider = Provider();
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        await provider.WriteAsync(changes, default);
        await provider.WriteAsync(changes, default);

        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1));
    }

    [TestCase("127.20.0.99", 300)]
    [TestCase(Blue, 60)]
    public async Task A_record_that_somebody_else_changed_stops_the_whole_zone(string address, int ttl)
    {
        using var provider = Provider();
        var changes = await ChangesAsync(provider, KnotServer.Hosts);
        await _knot.EditAsync(KnotServer.Zone, "zone-unset risk A", $"zone-set risk {ttl} A {address}");

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Is.EqualTo(
            "Somebody else changed the zone aether.example.com since it was read: risk.aether.example.com has "
            + $"{address} with a TTL of {ttl} s, not {Blue} with a TTL of {Ttl} s. Nothing was written."));
        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1), "only the other's change");
    }

    [Test]
    public async Task A_change_between_the_last_look_and_the_update_makes_the_server_refuse_the_update()
    {
        using var provider = Provider(fence: _ => _knot.EditAsync(KnotServer.Zone, "zone-unset risk A", "zone-set risk 300 A 127.20.0.99"));
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Does.Contain("risk.aether.example.com has 127.20.0.99 with a TTL of 300 s"));
        Assert.That(await _knot.AnswersAsync("auth.aether.example.com"), Is.EqualTo(new[] { $"{Ttl} A {Blue}" }));
        Assert.That(_knot.Log, Does.Contain("prerequisites not met"));
        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_change_on_top_of_an_update_whose_answer_was_lost_is_told_with_what_the_update_did()
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        middleman.Answer = (question, answer) => DnsMiddleman.IsUpdate(question) ? null : answer;
        using var provider = Provider(middleman.Address);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);
        _time.OnPause = () => _knot.EditAsync(KnotServer.Zone, "zone-unset risk A", "zone-set risk 300 A 127.20.0.99");

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Does.EndWith(
            $"risk.aether.example.com has 127.20.0.99 with a TTL of 300 s, not {Blue} with a TTL of 300 s. 17 of the 18 records are as wanted already."));
    }

    [Test]
    public async Task A_reading_is_given_up_when_told()
    {
        using var stop = new CancellationTokenSource();
        await using var middleman = new DnsMiddleman(_knot.Port);
        middleman.Before = async _ =>
        {
            await stop.CancelAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, CancellationToken.None);
        };
        using var provider = Provider(middleman.Address);

        Assert.That(() => provider.ReadAsync(KnotServer.Hosts, stop.Token), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task The_server_may_have_a_name()
    {
        using var provider = Provider($"localhost:{_knot.Port}");

        Assert.That((await provider.ReadAsync(KnotServer.Hosts, default)).SelectMany(name => name.Records), Has.Exactly(18).Items);
    }

    [Test]
    public async Task A_change_that_somebody_else_made_at_the_same_moment_is_as_good_as_ours()
    {
        using var provider = Provider(fence: _ => _knot.EditAsync(KnotServer.Zone, "zone-unset risk A", $"zone-set risk {Ttl} A {Green}"));

        await provider.WriteAsync(await ChangesAsync(provider, ["risk.aether.example.com"]), default);

        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_wildcards_answer_is_never_written_over()
    {
        using var provider = Provider();
        var own = await ChangesAsync(provider, KnotServer.Hosts);
        var wild = new RecordChange(new HostRecord("oms.deep.aether.example.com", "A", Blue, Ttl, KnotServer.Zone), Green);

        var failure = await FailureAsync(() => provider.WriteAsync([.. own, wild], default));

        Assert.That(failure.Message, Is.EqualTo(
            $"The name server {_knot.Address} refused to update the zone aether.example.com: oms.deep.aether.example.com did not have the target "
            + "that it answers with. Nothing was written."));
        Assert.That(await _knot.ChangesAsync(), Is.Zero);
    }

    [Test]
    public async Task A_wrong_key_is_told_before_anything_is_written()
    {
        using var provider = Provider(key: KnotServer.NewKey());

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Is.EqualTo($"The name server {_knot.Address} answered BADSIG: its key 'rollout.example.com' is another than ours."));
        Assert.That(failure.Hint, Does.Contain("Secrets.DnsUpdateKey"));
        Assert.That(_progress.All, Is.Empty, "another try would not help");
    }

    [TestCase("somebody.example.com", "hmac-sha256")]
    [TestCase(KnotServer.KeyName, "hmac-sha512")]
    public async Task A_key_that_the_server_does_not_know_is_told_before_anything_is_written(string name, string algorithm)
    {
        using var provider = Provider(name: name, algorithm: algorithm);

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Is.EqualTo($"The name server {_knot.Address} answered BADKEY: it does not know the key '{name}' or does not let it update."));
        Assert.That(failure.Hint, Does.Contain("Dns.UpdateKeyName and Dns.UpdateAlgorithm as in its configuration"));
    }

    [Test]
    public async Task A_server_that_says_no_more_of_a_key_than_NOTAUTH_is_understood()
    {
        await using var middleman = new DnsMiddleman(_knot.Port) { Answer = (question, answer) => DnsMiddleman.IsSigned(question) ? Header(question, 9) : answer };
        using var provider = Provider(middleman.Address);

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Is.EqualTo(
            $"The name server {middleman.Address} answered NOTAUTH: it is not the primary, or does not take the key 'rollout.example.com'."));
        Assert.That(failure.Hint, Does.Contain("Secrets.DnsUpdateKey"));
    }

    // Seconds pass between the two clocks' readings on a busy machine.
    [TestCase(60, "(1 h 0 min|59 min \\d+ s)")]
    [TestCase(-10, "(10 min|9 min) \\d+ s")]
    public async Task Clocks_that_are_apart_are_told(int minutes, string apart)
    {
        _time.Skew = TimeSpan.FromMinutes(minutes);
        using var provider = Provider();

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Does.StartWith($"The name server {_knot.Address} answered BADTIME: its clock says ").And.Contains(", this machine's "));
        Assert.That(failure.Message, Does.Match($", {apart} apart\\.$"));
        Assert.That(failure.Hint, Does.Contain("NTP"));
    }

    [TestCase("hmac-sha1", 20)]
    [TestCase("HMAC-SHA512.", 64)]
    public async Task Older_and_longer_signatures_serve_too(string algorithm, int length)
    {
        await using var knot = await KnotServer.StartAsync(algorithm.TrimEnd('.').ToLowerInvariant());
        using var provider = Provider(knot.Address, key: knot.Key, algorithm: algorithm, name: "Rollout.Example.Com.");

        await provider.WriteAsync(await ChangesAsync(provider, KnotServer.Hosts), default);

        Assert.That(await knot.AnswersAsync(KnotServer.Hosts[0]), Is.EqualTo(new[] { $"{Ttl} A {Green}" }), $"{length} bytes");
    }

    [Test]
    public async Task A_zone_that_does_not_take_the_key_refuses_the_write()
    {
        using var provider = Provider();
        var change = new RecordChange(new HostRecord("oms.closed.example.com", "A", Blue, Ttl, KnotServer.ClosedZone), Green);

        var failure = await FailureAsync(() => provider.WriteAsync([change], default));

        Assert.That(failure.Message, Does.Contain("BADKEY for the zone closed.example.com: it does not know the key 'rollout.example.com' or does not let it"));
        Assert.That(await _knot.ChangesAsync(KnotServer.ClosedZone), Is.Zero);
    }

    [Test]
    public async Task A_server_that_is_down_is_asked_a_few_times_and_then_told()
    {
        var changes = await ChangesAsync(Provider(), KnotServer.Hosts);
        var address = _knot.Address;
        await _knot.DisposeAsync();
        using var provider = Provider(address);

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Is.EqualTo($"The name server {address} gave no answer: Connection refused."));
        Assert.That(failure.Hint, Does.Contain("Dns.UpdateServer"));
        Assert.That(_progress.All, Has.Count.EqualTo(5));
        _knot = await KnotServer.StartAsync();
    }

    [Test]
    public async Task A_server_that_never_answers_is_not_waited_for_for_ever()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        using var provider = Provider($"127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}");
        _time.LetDeadlinesPass = true;

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Does.Contain("gave no answer: nothing within 10 s"));
    }

    [Test]
    public async Task An_update_whose_answer_is_lost_is_looked_for_and_not_made_twice()
    {
        await using var middleman = new DnsMiddleman(_knot.Port) { Answer = (question, answer) => DnsMiddleman.IsUpdate(question) ? null : answer };
        using var provider = Provider(middleman.Address);

        await provider.WriteAsync(await ChangesAsync(provider, KnotServer.Hosts), default);

        Assert.That(middleman.Updates, Is.EqualTo(1));
        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1));
        Assert.That(_progress.All.Single(), Does.StartWith($"The name server {middleman.Address} gave no answer: it hung up; asking again in "));
    }

    [Test]
    public async Task An_update_that_the_server_never_answers_is_looked_for_too()
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        middleman.Before = async message =>
        {
            if (DnsMiddleman.IsUpdate(message) && middleman.Updates == 1)
            {
                _time.PassDeadlines();
                await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, CancellationToken.None);
            }
        };
        using var provider = Provider(middleman.Address);

        await provider.WriteAsync(await ChangesAsync(provider, KnotServer.Hosts), default);

        Assert.That(middleman.Updates, Is.EqualTo(2), "the first had not taken effect");
        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1));
    }

    [TestCase(2, "SERVFAIL for the zone aether.example.com")]
    public async Task An_update_that_the_server_stumbles_over_is_looked_for_and_tried_again(int code, string words)
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        middleman.Answer = (question, answer) => DnsMiddleman.IsUpdate(question) && middleman.Updates == 1 ? Header(question, code) : answer;
        using var provider = Provider(middleman.Address);

        await provider.WriteAsync(await ChangesAsync(provider, KnotServer.Hosts), default);

        Assert.That(middleman.Updates, Is.EqualTo(1), "it had taken effect nevertheless");
        Assert.That(_progress.All.Single(), Does.StartWith($"The name server {middleman.Address} answered {words}; asking again in "));
    }

    [TestCase(1, "FORMERR", "does not accept the update")]
    [TestCase(4, "NOTIMP", "takes no dynamic updates")]
    [TestCase(5, "REFUSED", "does not let the key 'rollout.example.com' make this update")]
    [TestCase(9, "NOTAUTH", "is not the primary, or does not take the key 'rollout.example.com'")]
    [TestCase(10, "NOTZONE", "does not accept the update")]
    public async Task A_refusal_is_told_in_words(int code, string name, string words)
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        using var provider = Provider(middleman.Address);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);
        middleman.Answer = (question, answer) => DnsMiddleman.IsUpdate(question) ? Header(question, code) : answer;

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Is.EqualTo($"The name server {middleman.Address} answered {name} for the zone aether.example.com: it {words}."));
        Assert.That(failure.Hint, Is.Not.Null);
    }

    [Test]
    public async Task An_accepted_update_that_cannot_be_read_back_is_said_to_be_accepted()
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        var isCut = false;
        middleman.Answer = (question, answer) =>
        {
            var cut = isCut;
            isCut |= DnsMiddleman.IsUpdate(question);
            return cut ? null : answer;
        };
        using var provider = Provider(middleman.Address);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Is.EqualTo(
            $"The name server {middleman.Address} gave no answer: it hung up after it had accepted the update of the zone aether.example.com."));
    }

    [Test]
    public async Task More_records_than_one_update_takes_are_told_when_they_are_read()
    {
        await using var knot = await KnotServer.StartAsync(hosts: 500);
        using var provider = Provider(knot.Address, key: knot.Key);

        var names = await provider.ReadAsync([.. Enumerable.Range(1, 500).Select(i => $"h{i}.with-a-name-of-some-length.other.example.com")], default);

        Assert.That(names.Select(name => name.Problem), Is.All.EqualTo("the zone other.example.com has 500 records of hosts, too many for one update"));
    }

    [Test]
    public async Task Where_neither_update_nor_look_is_answered_the_outcome_is_called_unknown()
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        var isCut = false;
        middleman.Answer = (question, answer) => (isCut |= DnsMiddleman.IsUpdate(question)) ? null : answer;
        using var provider = Provider(middleman.Address);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Is.EqualTo(
            $"The name server {middleman.Address} gave no answer: it hung up; whether the records of the zone aether.example.com have changed is unknown."));
        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Failed));
    }

    [Test]
    public async Task A_liars_answer_to_an_update_is_not_believed([Values] Lie lie)
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        byte[] earlier = [];
        middleman.Before = message =>
        {
            if (DnsMiddleman.IsUpdate(message))
            {
                message[^20] ^= 1; // The server refuses what came to it; the liar says that all is well.
            }

            return Task.CompletedTask;
        };
        middleman.Answer = (question, answer) => DnsMiddleman.IsUpdate(question) ? Lies(lie, question, answer, earlier) : earlier = answer;
        using var provider = Provider(middleman.Address);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.Message, Is.EqualTo(
            $"The answer of the name server {middleman.Address} (NOERROR) is not signed with the key 'rollout.example.com', so it may be anybody's."));
        Assert.That(await _knot.ChangesAsync(), Is.Zero);
    }

    [Test]
    public async Task An_answer_that_was_changed_on_the_way_is_not_believed()
    {
        await using var middleman = new DnsMiddleman(_knot.Port);
        byte[] blue = [.. IPAddress.Parse(Blue).GetAddressBytes()];
        middleman.Answer = (_, answer) =>
        {
            var at = answer.AsSpan().IndexOf(blue);
            if (at >= 0)
            {
                IPAddress.Parse(Green).GetAddressBytes().CopyTo(answer, at);
            }

            return answer;
        };
        using var provider = Provider(middleman.Address);

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Does.EndWith("(NOERROR) is not signed with the key 'rollout.example.com', so it may be anybody's."));
    }

    [Test]
    public async Task A_signature_that_was_cut_to_half_is_not_believed()
    {
        // Behind the MAC of 32 bytes come three fields; before it its length; and the record's own length before the name of the algorithm.
        const int mac = 32, behind = 6, data = 61;
        await using var middleman = new DnsMiddleman(_knot.Port);
        middleman.Answer = (_, answer) =>
        {
            byte[] cut = [.. answer[..^(behind + (mac / 2))], .. answer[^behind..]];
            cut[^(data - (mac / 2) + 1)] -= mac / 2;
            cut[^(behind + (mac / 2) + 1)] = mac / 2;
            return cut;
        };
        using var provider = Provider(middleman.Address);

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Does.Contain("(NOERROR) is not signed with the key 'rollout.example.com'"));
    }

    [Test]
    public async Task An_answer_that_is_no_DNS_message_is_no_answer()
    {
        await using var middleman = new DnsMiddleman(_knot.Port) { Answer = (_, _) => [1, 2, 3] };
        using var provider = Provider(middleman.Address);

        var failure = await FailureAsync(() => provider.ReadAsync(KnotServer.Hosts, default));

        Assert.That(failure.Message, Does.EndWith("gave no answer: something that is not a DNS message."));
    }

    [Test]
    public async Task A_run_without_the_lock_writes_nothing()
    {
        using var provider = Provider(fence: Fences.Closed);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        var failure = await FailureAsync(() => provider.WriteAsync(changes, default));

        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.Refused));
        Assert.That(await _knot.ChangesAsync(), Is.Zero);
    }

    [Test]
    public async Task An_update_under_way_is_not_cut_off()
    {
        using var stop = new CancellationTokenSource();
        await using var middleman = new DnsMiddleman(_knot.Port);
        middleman.Before = message => DnsMiddleman.IsUpdate(message) ? stop.CancelAsync() : Task.CompletedTask;
        using var provider = Provider(middleman.Address);
        var changes = await ChangesAsync(provider, KnotServer.Hosts);

        await provider.WriteAsync(changes, stop.Token);

        Assert.That(await _knot.ChangesAsync(), Is.EqualTo(1));
        Assert.That(() => provider.WriteAsync(changes, stop.Token), Throws.InstanceOf<OperationCanceledException>());
    }

    [TestCase("ns0.example.com:0", KnotServer.KeyName, "hmac-sha256", "c2VjcmV0", "The name server 'ns0.example.com:0' is neither")]
    [TestCase("ns0 example", KnotServer.KeyName, "hmac-sha256", "c2VjcmV0", "The name server 'ns0 example' is neither")]
    [TestCase("[::1]:5353", "", "hmac-sha256", "c2VjcmV0", "The key name '' is not a name.")]
    [TestCase("192.0.2.53", KnotServer.KeyName, "hmac-md5", "c2VjcmV0", "The algorithm 'hmac-md5' is not one")]
    [TestCase("ns0.example.com", KnotServer.KeyName, "hmac-sha256", "so secret!", "The secret of the key 'rollout.example.com' is not base64.")]
    public void Settings_that_cannot_work_are_refused(string server, string name, string algorithm, string key, string message)
    {
        var failure = Assert.Throws<RolloutException>(() => Provider(server, name, algorithm, new Secret(key)).Dispose())!;

        Assert.That(failure.Message, Does.StartWith(message));
        Assert.That(failure.ExitCode, Is.EqualTo(ExitCode.BadSettings));
        Assert.That(failure.ToString() + failure.Hint, Does.Not.Contain(key));
    }

    [Test]
    public async Task Primary_and_secondary_agree_over_UDP_and_TCP_after_a_write()
    {
        var (primary, secondary) = await KnotServer.StartPairAsync();
        await using (primary)
        await using (secondary)
        {
            using var provider = Provider(primary.Address, key: primary.Key);
            var servers = new NameServers([primary.Address, secondary.Address], TimeProvider.System, _progress);
            await servers.WaitUntilAllAnswerAsync(KnotServer.Hosts, new SlotAddress(Blue), TimeSpan.FromSeconds(30), default);

            await provider.WriteAsync(await ChangesAsync(provider, KnotServer.Hosts), default);

            await servers.WaitUntilAllAnswerAsync(KnotServer.Hosts, new SlotAddress(Green), TimeSpan.FromSeconds(30), default);
            Assert.That(await secondary.AnswersAsync(KnotServer.Hosts[17]), Is.EqualTo(new[] { $"{Ttl} A {Green}" }));
        }
    }

    [Test]
    public async Task A_secondary_is_not_where_a_zone_is_edited()
    {
        var (primary, secondary) = await KnotServer.StartPairAsync();
        await using (primary)
        await using (secondary)
        {
            using var provider = Provider(secondary.Address, key: primary.Key);

            var failure = await FailureAsync(() => provider.ReadAsync([KnotServer.Hosts[0]], default));

            Assert.That(failure.Hint, Does.Contain("Dns.UpdateServer has to be the zone's primary"));
        }
    }

    [Test]
    public async Task A_flip_over_two_zones_moves_all_hosts_and_back()
    {
        using var zone = new DnsZone(Provider(), null, _time, _progress);
        string[] hosts = [.. KnotServer.Hosts, "oms.other.example.com"];

        var (before, written) = await zone.PointAsync(hosts, new SlotAddress(Green, "2001:db8::20"), Task.FromResult, default);
        await zone.PointAsync(hosts, new SlotAddress(Blue, "2001:db8::10"), Task.FromResult, default);

        Assert.That(written, Is.EqualTo(20));
        Assert.That(await zone.ReadAsync(hosts, default), Is.EqualTo(before));
        Assert.That((await _knot.ChangesAsync(), await _knot.ChangesAsync("other.example.com")), Is.EqualTo((2, 2)));
    }

    [Test]
    public async Task A_flip_over_two_zones_of_which_one_refuses_the_update_leaves_every_host_where_it_was()
    {
        using var zone = new DnsZone(Provider(), null, _time, _progress);
        string[] hosts = [.. KnotServer.Hosts, "oms.v6only.example.com"];

        var failure = await FailureAsync(() => zone.PointAsync(hosts, new SlotAddress(Green), Task.FromResult, default));

        Assert.That(failure.Message, Does.StartWith($"oms.v6only.example.com could not be pointed to {Green}: The name server {_knot.Address} answered "));
        Assert.That(failure.Message, Does.EndWith($"All 19 hosts point to {Blue} again."));
        Assert.That((await zone.ReadAsync(hosts, default)).Select(record => record.Target), Is.All.EqualTo(Blue));
        Assert.That(await _knot.ChangesAsync(KnotServer.AddressesOnly), Is.Zero);
    }

    [Test]
    public async Task A_flip_over_two_zones_of_which_one_is_closed_writes_nothing_at_all()
    {
        using var zone = new DnsZone(Provider(), null, _time, _progress);

        var failure = await FailureAsync(() => zone.PointAsync([.. KnotServer.Hosts, "oms.closed.example.com"], new SlotAddress(Green), Task.FromResult, default));

        Assert.That(failure.Message, Does.StartWith($"1 problem in the DNS zone: The name server {_knot.Address} answered BADKEY for the zone closed.example.com"));
        Assert.That(await _knot.ChangesAsync(), Is.Zero);
    }

    [Test]
    public async Task A_flip_whose_hosts_a_wildcard_answers_for_is_refused()
    {
        using var zone = new DnsZone(Provider(), null, _time, _progress);

        var failure = await FailureAsync(() => zone.ReadAsync([.. KnotServer.Hosts, "oms.deep.aether.example.com"], default));

        Assert.That(failure.Message, Is.EqualTo(
            "1 problem in the DNS zone: oms.deep.aether.example.com has no A record of its own, only the wildcard *.deep.aether.example.com."));
    }

    public enum Lie
    {
        /// <summary>The signature is not the key's.</summary>
        ForeignSignature,

        /// <summary>There is none.</summary>
        NoSignature,

        /// <summary>The client's own is sent back.</summary>
        EchoedSignature,

        /// <summary>There is a signature of no bytes.</summary>
        EmptySignature,

        /// <summary>It is the server's own answer to something else.</summary>
        Replay,
    }

    // The header's code becomes NOERROR; TSIG is the last record, and in Knot's refusal its MAC is empty and its error not.
    private static byte[] Lies(Lie lie, byte[] question, byte[] answer, byte[] earlier)
    {
        var lied = lie switch
        {
            Lie.EchoedSignature => (byte[])[.. question],
            Lie.Replay => [.. question[..2], .. earlier[2..]],
            Lie.ForeignSignature => [.. question[..^40], .. new byte[32], .. question[^8..]],
            _ => [.. answer],
        };
        lied[2] = (byte)((question[2] & 0x78) | 0x80);
        lied[3] &= 0xF0;
        switch (lie)
        {
            case Lie.NoSignature:
                // The zone section stays; what comes behind it is not counted.
                lied[11] = 0;
                break;
            case Lie.EmptySignature:
                lied[^4] = lied[^3] = 0;
                break;
        }

        return lied;
    }

    private static byte[] Header(byte[] question, int code) => [.. question[..2], (byte)(question[2] | 0x80), (byte)code, 0, 0, 0, 0, 0, 0, 0, 0];

    private DynamicUpdate Provider(
        string? server = null, string name = KnotServer.KeyName, string algorithm = "hmac-sha256", Secret? key = null, Fence? fence = null) =>
        new(server ?? _knot.Address, name, algorithm, key ?? _knot.Key, fence ?? Fences.Open, _time, _progress);

    private static async Task<IReadOnlyList<RecordChange>> ChangesAsync(DynamicUpdate provider, IReadOnlyCollection<string> hosts) =>
        [.. (await provider.ReadAsync(hosts, default)).SelectMany(name => name.Records.Select(record => new RecordChange(
            new HostRecord(name.Name, record.Type, record.Target, record.TtlSeconds, record.Handle),
            record.Type == "A" ? Green : "2001:db8::20")))];

    private async Task<RolloutException> FailureAsync(Func<Task> act)
    {
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => act()))!;
        Assert.That(failure.ToString() + failure.Hint, Does.Not.Contain(_knot.Key.Reveal()), "the key is nobody's to read");
        return failure;
    }

    /// <summary>The real clock, as signatures need it; pauses between tries take no time, and deadlines pass early when told.</summary>
    private sealed class WallClock : TimeProvider
    {
        private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(9);
        private readonly List<(TimerCallback Callback, object? State)> _deadlines = [];

        /// <summary>How far the clock is off.</summary>
        public TimeSpan Skew { get; set; }

        public bool LetDeadlinesPass { get; set; }

        /// <summary>Done before a pause ends.</summary>
        public Func<Task> OnPause { get; set; } = () => Task.CompletedTask;

        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + Skew;

        public void PassDeadlines()
        {
            lock (_deadlines)
            {
                foreach (var (callback, state) in _deadlines)
                {
                    ThreadPool.QueueUserWorkItem(_ => callback(state));
                }

                _deadlines.Clear();
            }
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime >= TimeSpan.Zero && (dueTime < LongestPause || LetDeadlinesPass))
            {
                ThreadPool.QueueUserWorkItem(async _ =>
                {
                    await (dueTime < LongestPause ? OnPause() : Task.CompletedTask);
                    callback(state);
                });
                return System.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, period);
            }

            lock (_deadlines)
            {
                _deadlines.Add((callback, state));
            }

            return System.CreateTimer(callback, state, dueTime, period);
        }
    }
}
