using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;
using Rollout.Journal;
using Rollout.Reporting.Page;

namespace Rollout.Tests.Reporting.Page;

/// <summary>The page's words and structure; how it looks is <see cref="ReportPageBrowserTests"/>'.</summary>
public sealed partial class ReportPageTests
{
    private const string Hostile = "<script>alert('x')</script>\"'&<!-- ]]> \u202Etxt.exe \u0000\u0007\uD800 --><img src=http://evil.example/>";

    private ReleaseFolder _folder = null!;

    [SetUp]
    public void Make() => _folder = new ReleaseFolder();

    [TearDown]
    public void Remove() => _folder.Dispose();

    [Test]
    public void A_rollout_that_is_done_says_so_first_with_its_times_and_the_freeze()
    {
        var page = Draw(_folder.Done());
        Assert.Multiple(() =>
        {
            Assert.That(Headline(page), Is.EqualTo("✓ Done: green serves and trades"));
            Assert.That(Tile(page, "From, to"), Does.Contain("2 min").And.Contain("2026-11-26 14:02:00 to 14:04:07 UTC, in 1 run"));
            Assert.That(Tile(page, "Trading was frozen"), Does.StartWith("55.4 s").And.Contain("14:02:55.5 to 14:03:50.9, then green traded"), "3.4's own figure, and not the end of its watch");
            Assert.That(Tile(page, "Clients go to"), Does.StartWith("green"));
            Assert.That(Tile(page, "Verdict"), Does.StartWith("✓ Successful"));
            Assert.That(Tile(page, "A client saw"), Does.Contain("reads failed").And.Contain("0 refused"));
            Assert.That(page.Descendants("p").Where(p => Class(p) == "alarm" || Class(p) == "next"), Is.Empty);
        });
    }

    [Test]
    public void A_rollback_says_why_and_draws_both_moves()
    {
        var page = Draw(_folder.RolledBack());
        Assert.Multiple(() =>
        {
            Assert.That(Headline(page), Is.EqualTo("↩ Rolled back: blue serves and trades"));
            Assert.That(page.Descendants("p").Single(p => Class(p) == "why").Value, Does.Contain("3.3 Monitor traffic").And.Contain("6.1 % of its requests"));
            Assert.That(Tile(page, "Trading was frozen"), Does.Contain("then blue traded"));
            Assert.That(Tile(page, "Clients go to"), Does.StartWith("blue").And.Contain("restored"));
            Assert.That(Outcomes(page), Is.SupersetOf(new[] { "3.1 Freeze writes ↩ undone", "3.3 Monitor traffic ✗ failed", "5.4 Investigate ✓ done" }));
            Assert.That(Row(Section(page, "dns"), "oms.aether.example.com"), Does.Contain("192.0.2.10 blue → 192.0.2.20 green").And.Contain("192.0.2.20 green → 192.0.2.10 blue"));
            Assert.That(Section(page, "skipped").Value, Does.Contain("3.4 Re-enable trading, 4.1 Refresh aggregates").And.Contain("not reached: 3.3 Monitor traffic failed"));
        });
    }

    [Test]
    public void Of_many_moves_the_last_ones_are_in_the_table_and_all_are_named()
    {
        _folder.Deployed().Flipped().Flipped().Flipped().Flipped().Flipped();
        var dns = Section(Draw(_folder), "dns");
        Assert.That(dns.Descendants("li").Count(), Is.EqualTo(5));
        Assert.That(dns.Descendants("thead").Single().Descendants("th").Count(), Is.EqualTo(5), "the host and four moves");
        Assert.That(dns.Value, Does.Contain("of 5 moves the last 4"));
    }

    [Test]
    public void A_hold_in_the_freeze_raises_the_alarm_and_names_the_command()
    {
        _folder.Deployed().Flipped().Started("MonitorTraffic").Failed("MonitorTraffic", "The watch of candidate (green) ended Inconclusive (NoData): no pod could be read.", exit: 4);
        var page = Draw(_folder);
        Assert.That(Headline(page), Is.EqualTo("■ Hold at 3.3 Monitor traffic: a person must decide"));
        Assert.That(page.Descendants("p").Single(p => Class(p) == "alarm").Value, Does.StartWith("NO SLOT TRADES since 2026-11-26 14:02:55 UTC, for "));
        Assert.That(page.Descendants("p").Single(p => Class(p) == "next").Value, Is.EqualTo("Next: ./build.sh --target=Rollback --environment=staging --release=v2026.11.1"));
        Assert.That(Tile(page, "Verdict"), Is.EqualTo("? Inconclusive the watch kept no samples").IgnoreWhiteSpace);
        Assert.That(Tile(page, "Trading was frozen"), Does.StartWith("and still is"));
    }

    private static IEnumerable<TestCaseData> Ends()
    {
        yield return new TestCaseData("… Nothing was begun", (Action<ReleaseFolder>)(_ => { })).SetArgDisplayNames("nothing");
        yield return new TestCaseData("… Not finished: next is 3.1 Freeze writes", (Action<ReleaseFolder>)(f => f.Deployed())).SetArgDisplayNames("a stage");
        yield return new TestCaseData("✗ Failed at 2.2 Install the chart: clients were not touched", (Action<ReleaseFolder>)(f => f.Step("TagRelease", 1).Started("InstallChart").Failed("InstallChart", "no"))).SetArgDisplayNames("failed early");
        yield return new TestCaseData("… Interrupted at 3.2 Flip DNS", (Action<ReleaseFolder>)(f => f.Deployed().Flipped().Started("FlipDns").Add("FlipDns", JournalEvent.Interrupted))).SetArgDisplayNames("interrupted");
        yield return new TestCaseData("… Ended without a word in 3.1 Freeze writes", (Action<ReleaseFolder>)(f => f.Deployed().Started("FreezeWrites").Add("FreezeWrites", JournalEvent.Intent, [], "fences"))).SetArgDisplayNames("killed");
        yield return new TestCaseData("■ Hold: green serves and trades, its verification failed", (Action<ReleaseFolder>)(f => f.Deployed().Flipped().Step("MonitorTraffic", 1).Step("ReenableTrading", 1).Started("AuditGovernance").Failed("AuditGovernance", "no row"))).SetArgDisplayNames("verification");
        yield return new TestCaseData("■ Hold: the rollback is not complete, a person is needed", (Action<ReleaseFolder>)(f => f.Deployed().Flipped().Started("RestoreDns").Failed("RestoreDns", "the provider is away"))).SetArgDisplayNames("half a rollback");
        yield return new TestCaseData("… The rollback is not finished", (Action<ReleaseFolder>)(f => f.Deployed().Flipped().Step("ReenableSafeMode", 1))).SetArgDisplayNames("unfinished rollback");
        yield return new TestCaseData(
            "■ Hold: past the point of no return, a person must decide",
            (Action<ReleaseFolder>)(f => f.Deployed().Add("SeedState", JournalEvent.Intent, new() { ["pointOfNoReturn"] = "column x was dropped" }, "migrations").Started("SmokeTest").Failed("SmokeTest", "red"))).SetArgDisplayNames("no return");
    }

    [TestCaseSource(nameof(Ends))]
    public void Every_end_has_its_headline(string headline, Action<ReleaseFolder> history)
    {
        history(_folder);
        Assert.That(Headline(Draw(_folder)), Is.EqualTo(headline));
    }

    [Test]
    public void A_failure_that_is_rolled_back_next_is_no_hold()
    {
        _folder.Deployed().Flipped().Started("MonitorTraffic").Failed("MonitorTraffic", "errors");
        ReportPage.Write(_folder.Facts with { RollbackFollows = true });
        Assert.That(Headline(Read(_folder.Page)), Is.EqualTo("✗ Failed at 3.3 Monitor traffic: the rollback begins"));
    }

    [TestCase("Successful", "✓")]
    [TestCase("Failed", "✗")]
    [TestCase("Inconclusive", "?")]
    [TestCase("SomethingNew", "!")]
    public void Every_verdict_is_shown_with_a_sign_its_query_and_its_raw_answer(string verdict, string sign)
    {
        _folder.Deployed().Flipped().Started("MonitorTraffic").KeepSamples("MonitorTraffic", ReleaseFolder.Watch("green", "candidate", _folder.Now, 6, 2, verdict)).Failed("MonitorTraffic", "ended");
        var section = Section(Draw(_folder), "verdict");
        Assert.That(section.Descendants("h3").Single().Value, Is.EqualTo($"3.3 Monitor traffic: {sign} {verdict}"));
        Assert.That(Row(section, "oms-service"), Does.Contain($"{sign} {verdict}").And.Contain("1.1 %").And.Contain("p 0.31, effect 0.08, 6 intervals"));
        var asked = section.Descendants("tr").First(r => r.Element("th")?.Value == "oms-service").Descendants("pre").Select(p => p.Value).ToList();
        Assert.That(asked[0], Is.EqualTo("sum by (service) (rate(http_requests_total{slot=\"green\",status_code=~\"5..\"}[10s]))"));
        Assert.That(asked[1], Does.StartWith("{\"service\":\"oms-service\"}"));
        if (verdict == "Failed")
        {
            Assert.That(section.Value, Does.Contain("it was decided 6.0 s later"));
        }
    }

    [Test]
    public void What_failed_does_not_drown_in_what_was_too_quiet_to_tell()
    {
        var watch = ReleaseFolder.Watch("green", "candidate", _folder.Now, 6, 2, "Failed", services: 20);
        foreach (var metric in watch["verdict"]!["metrics"]!.AsArray().Where(m => m!["verdict"]!.ToString() == "Successful"))
        {
            metric!["verdict"] = "Inconclusive";
        }

        _folder.Deployed().Flipped().KeepSamples("MonitorTraffic", watch).Started("MonitorTraffic").Failed("MonitorTraffic", "ended");
        var section = Section(Draw(_folder), "verdict");
        Assert.That(section.Element("table")!.Element("tbody")!.Elements("tr").Select(r => r.Element("th")!.Value), Is.EqualTo(new[] { "oms-service" }));
        Assert.That(section.Element("details")!.Element("summary")!.Value, Is.EqualTo("39 other metrics, 39 of them not well"));
    }

    [Test]
    public void Both_slots_are_drawn_around_the_flip_with_the_freeze_behind_them()
    {
        var section = Section(Draw(_folder.Done()), "flip");
        var plots = section.Elements("figure").ToList();
        Assert.That(plots.Select(p => p.Element("figcaption")!.FirstNode!.ToString().Trim()), Is.EqualTo(new[] { "Latency, p95", "Errors, share of requests" }));
        foreach (var plot in plots)
        {
            Assert.That(plot.Descendants("span").Where(s => Class(s) == "legend").Descendants("span").Select(s => s.Value.Trim()), Is.EqualTo(new[] { "live (blue)", "candidate (green)" }));
            Assert.That(plot.Descendants("rect").Count(r => Class(r) == "freeze"), Is.EqualTo(1));
            Assert.That(plot.Descendants("path").Count(p => Class(p) == "moment"), Is.EqualTo(1), "the flip");
            Assert.That(plot.Value, Does.Contain("frozen 55.4 s").And.Contain("DNS flip"));
            var ends = plot.Descendants("path").Where(p => Class(p).Contains("main", StringComparison.Ordinal) && p.Parent!.Attribute("role") is not null).Select(p => Coordinates(p.Attribute("d")!.Value)).ToList();
            Assert.That(ends[0].Max(c => c.X), Is.LessThan(ends[1].Min(c => c.X)), "live before the flip, the candidate after it");
            Assert.That(ends.SelectMany(e => e).Select(c => c.Y), Is.All.InRange(0, 1000));
        }

        Assert.That(Row(section, "oms-service"), Does.Contain("0 % →").And.Contain(" ms → "));
    }

    [TestCase("", "it is empty")]
    [TestCase("<html>503 Service Unavailable</html>", "it cannot be read")]
    [TestCase("null", "it is a JSON Null, not an object")]
    [TestCase("[]", "it is a JSON Array, not an object")]
    [TestCase("{}", "it has no services")]
    [TestCase("{\"services\":null,\"verdict\":7}", "it has no services")]
    [TestCase("{\"services\":{\"oms\":[{\"at\":\"today\",\"p95\":1},7,null,{\"p95\":2}]}}", "4 of its samples have no time and are not drawn")]
    [TestCase("{\"services\":{\"oms\":[{\"at\":\"2026-11-26T14:03:00Z\",\"p95\":NaN}]}}", "it cannot be read")]
    [TestCase("{\"services\":{\"oms\":[]},\"source\":\"\\ud800\"}", "it cannot be read")]
    [TestCase("{\"services\":{\"oms\":{},\"risk\":null,\"ui\":[]},\"verdict\":{\"metrics\":[null,5,{}]}}", "no samples can be drawn")]
    [TestCase("{\"services\":{\"oms\":[{\"at\":\"2026-11-26T14:03:00Z\",\"requests\":null,\"errors\":\"NaN\",\"p95\":\"x\"}]},\"verdict\":{\"verdict\":null}}", "Latency, p95: no sample of candidate (green) has it.")]
    [TestCase("{\"services\":{\"oms\":[{\"at\":\"2026-11-26T14:03:00Z\",\"requests\":5,\"errors\":9,\"p95\":-1e300}]},\"from\":\"x\",\"intervalSeconds\":\"often\"}", "1 interval")]
    public void A_broken_watch_is_named_and_the_rest_of_the_page_stands(string content, string said)
    {
        _folder.Deployed().Flipped().Started("MonitorTraffic").Keep("MonitorTraffic", WatchFile.Name, content).Failed("MonitorTraffic", "no data");
        var page = Draw(_folder);
        Assert.That(Section(page, "flip").Value + Section(page, "skipped").Value, Does.Contain(said));
        Assert.That(Section(page, "dns").Descendants("td").ToList(), Is.Not.Empty);
        Assert.That(page.Root!.Value, Does.Not.Contain("cannot be drawn").And.Not.Contain("System."));
    }

    [Test]
    public void Without_watches_it_says_that_no_samples_were_kept()
    {
        _folder.Deployed().Started("FreezeWrites").Add("FreezeWrites", JournalEvent.Done);
        var flip = Section(Draw(_folder), "flip").Value;
        Assert.That(flip, Does.Contain("blue before the flip: no samples were kept by 3.1 Freeze writes.").And.Contain("green after the flip: no samples were kept, 3.3 Monitor traffic was not reached."));
    }

    [Test]
    public void Without_samples_the_verdict_is_the_journals_and_the_judges_sentence()
    {
        _folder.Deployed().Flipped().Started("MonitorTraffic").Keep("MonitorTraffic", "judgement.txt", "16 services are within their limits.")
            .Add("MonitorTraffic", JournalEvent.Done, new() { ["verdict"] = "Successful", ["reason"] = "Steady" });
        Assert.That(Section(Draw(_folder), "verdict").Value, Does.Contain("✓ Successful").And.Contain("16 services are within their limits.").And.Contain("Steady").And.Contain("No samples were kept"));
    }

    [TestCase("", "client.csv has no second in it")]
    [TestCase("second,requests\n", "client.csv has no second in it")]
    [TestCase("\0\0\0\n1,2,3\n", "client.csv: 1 of its lines are no second of a client")]
    [TestCase("second,requests,reads,reads_failed,blue,p95_ms\nyesterday,1,1,0,1,2\n2026-11-26T14:02:00Z,NaN,1\n2026-11-26T14:02:01Z,50,50,0,50,NaN\n", "client.csv: 2 of its lines are no second of a client")]
    public void A_broken_client_is_named(string content, string said)
    {
        _folder.Deployed();
        File.WriteAllText(Path.Combine(_folder.Path, "client.csv"), content);
        var page = Draw(_folder);
        Assert.That(Section(page, "clients").Value + Section(page, "skipped").Value, Does.Contain(said));
        Assert.That(page.Root!.Value, Does.Not.Contain("cannot be drawn"));
    }

    [Test]
    public void What_clients_saw_is_told_by_second()
    {
        var section = Section(Draw(_folder.RolledBack()), "clients");
        Assert.That(section.Elements("figure").Count(), Is.EqualTo(2));
        Assert.That(section.Elements("div").Single(d => Class(d) == "strip").Elements("span").Select(s => s.Value), Has.Exactly(4).Items.And.Some.Match("^reads failed: [1-9]").And.Some.EqualTo("orders refused: 0"));
        Assert.That(section.Element("table")!.Descendants("tbody").Single().Elements("tr").First().Value, Does.Contain("2026-11-26 14:03:").And.Contain("oms 502"));
    }

    [Test]
    public void Evidence_is_hashed_again_and_what_is_gone_or_changed_is_told()
    {
        _folder.Deployed().Keep("SmokeTest", "a.log", "a").Keep("SmokeTest", "b.log", "b");
        File.WriteAllText(_folder.Evidence.FullPath("SmokeTest/b.log"), "changed");
        _folder.Add("SmokeTest", JournalEvent.Done, new() { ["evidence"] = new JsonObject { ["SmokeTest/elsewhere.log"] = new string('c', 64), ["../../etc/passwd"] = "0", ["SmokeTest/none"] = 5 } });
        var section = Section(Draw(_folder), "evidence");
        Assert.That(Row(section, "SmokeTest/a.log"), Does.Contain("✓ as written").And.Contain("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"));
        Assert.That(Row(section, "SmokeTest/b.log"), Does.Contain("✗ changed since"));
        Assert.That(Row(section, "SmokeTest/elsewhere.log"), Does.Contain("! not on this machine").And.Contain(new string('c', 64)));
        Assert.That(Row(section, "../../etc/passwd"), Does.Contain("not on this machine"), "a path that leads out of the folder is not followed");
        Assert.That(section.Descendants("a").Select(a => a.Attribute("href")!.Value), Is.EqualTo(new[] { "evidence/SmokeTest/a.log", "evidence/SmokeTest/b.log" }));
    }

    [Test]
    public void What_was_skipped_is_told_with_its_reason()
    {
        _folder.Deployed().Add("RefreshAggregates", JournalEvent.Skipped, new() { ["reason"] = "there are no aggregates" });
        var section = Section(Draw(_folder), "skipped");
        Assert.That(Row(section, "4.1 Refresh aggregates"), Does.Contain("there are no aggregates"));
        Assert.That(Row(section, "2.4 Seed state, state"), Does.Contain("not applicable, hardened"));
        Assert.That(Row(section, "Traces, 2.3 Bootstrap observability"), Does.Contain("tracing is off: no store is set"));
    }

    [Test]
    public void What_others_wrote_stays_text_wherever_it_stands()
    {
        var watch = ReleaseFolder.Watch("green", "candidate", _folder.Now, 4, 2, Hostile);
        foreach (var name in new[] { "source", "slot", "role" })
        {
            watch[name] = Hostile;
        }

        watch["problems"] = new JsonArray(Hostile, 7);
        watch["services"]!.AsObject()[Hostile] = watch["services"]!["oms-service"]!.DeepClone();
        foreach (var metric in watch["verdict"]!["metrics"]!.AsArray().OfType<JsonObject>())
        {
            foreach (var name in new[] { "service", "metric", "verdict", "reason", "message", "query", "raw" })
            {
                metric[name] = Hostile;
            }
        }

        _folder.Run = Hostile;
        _folder.Add("Rollout", JournalEvent.Started, new() { ["live"] = Hostile, ["candidate"] = Hostile, ["hosts"] = new JsonArray(Hostile) })
            .Started("FlipDns", Hostile)
            .Add("FlipDns", JournalEvent.Intent, new() { ["before"] = new JsonObject { [Hostile] = Hostile }, ["after"] = Hostile, [Hostile] = Hostile }, "records")
            .Add("FlipDns", JournalEvent.Done, new() { ["evidence"] = new JsonObject { [Hostile] = Hostile }, ["outcome"] = "not " + Hostile })
            .Add("TagRelease", JournalEvent.Done, new() { ["inputs"] = new JsonObject { [Hostile] = Hostile }, ["images"] = new JsonObject { [Hostile] = Hostile } })
            .Add(Hostile, JournalEvent.Skipped, new() { ["reason"] = Hostile }, Hostile)
            .KeepSamples("MonitorTraffic", watch).Started("MonitorTraffic").Failed("MonitorTraffic", Hostile);
        File.WriteAllText(Path.Combine(_folder.Path, "client.csv"), $"second,requests,reads_failed,{Hostile},failures\n2026-11-26T14:02:00Z,5,1,5,{Hostile}\n".Replace("\uD800", "", StringComparison.Ordinal));
        ReportPage.Write(_folder.Facts with { Release = Hostile, Environment = Hostile, CommandFor = _ => Hostile });
        var page = Read(_folder.Page);
        var tags = page.Descendants().Select(e => e.Name.LocalName).Distinct().ToList();
        Assert.Multiple(() =>
        {
            Assert.That(tags, Is.SubsetOf(Tags));
            Assert.That(page.Descendants().Attributes().Where(a => a.Name.LocalName.StartsWith("on", StringComparison.Ordinal)), Is.Empty);
            Assert.That(page.DescendantNodes().OfType<XComment>(), Is.Empty);
            Assert.That(page.Descendants("p").Single(p => Class(p) == "why").Value, Does.Contain("<script>alert('x')</script>\"'&<!-- ]]> "), "as text");
            Assert.That(File.ReadAllText(_folder.Page), Does.Not.Contain("\u202E").And.Not.Contain('\0').And.Not.Contain('\u0007'));
            Assert.That(page.Root!.Value, Does.Not.Contain("cannot be drawn"));
        });
    }

    private static readonly string[] Tags =
    [
        "html", "head", "meta", "title", "link", "style", "body", "header", "div", "p", "b", "h1", "h2", "h3", "span", "code", "pre", "dl", "dt", "dd", "small", "nav", "a", "main", "section", "table", "caption", "thead", "tbody", "tr", "th", "td",
        "svg", "desc", "path", "rect", "figure", "figcaption", "details", "summary", "ul", "li", "br", "footer",
    ];

    [Test]
    public void It_needs_no_network_and_no_script()
    {
        var page = Draw(_folder.Done());
        Assert.That(page.Descendants("meta").Single(m => m.Attribute("http-equiv") is not null).Attribute("content")!.Value, Is.EqualTo("default-src 'none'; style-src 'unsafe-inline'; img-src data:"));
        Assert.That(page.Descendants("script").Concat(page.Descendants("img")).Concat(page.Descendants("iframe")), Is.Empty);
        Assert.That(page.Descendants().Attributes("src"), Is.Empty);
        Assert.That(page.Descendants().Attributes("href").Select(a => a.Value), Is.All.Match("^(#[a-z]+|evidence/[^:]+|client\\.csv|journal\\.jsonl|data:image/svg\\+xml,.*)$"));
        Assert.That(page.Descendants("style").Single().Value, Does.Not.Contain("url(").And.Not.Contain("@import"));
    }

    [Test]
    public void It_can_be_read_without_seeing_it()
    {
        var page = Draw(_folder.RolledBack());
        Assert.Multiple(() =>
        {
            Assert.That(page.Root!.Attribute("lang")!.Value, Is.EqualTo("en"));
            Assert.That(page.Descendants("h1").Count(), Is.EqualTo(1));
            Assert.That(page.Descendants("title").First().Value, Does.StartWith("Rolled back: blue serves and trades"));
            Assert.That(page.Descendants("section").Select(s => s.Element("h2")?.Attribute("id")?.Value), Is.EqualTo(page.Descendants("section").Select(s => s.Attribute("aria-labelledby")!.Value)));
            Assert.That(page.Descendants("svg").Where(s => s.Attribute("aria-hidden") is null && (s.Attribute("role")?.Value != "img" || string.IsNullOrWhiteSpace(s.Element("title")?.Value))), Is.Empty, "each picture has words");
            Assert.That(page.Descendants("table").Where(t => t.Element("caption") is null), Is.Empty);
            Assert.That(page.Descendants("th").Where(h => h.Attribute("scope")?.Value is not ("col" or "row")), Is.Empty);
            Assert.That(page.Descendants("tr").Select(r => r.Elements().Count(c => c.Name == "th")), Is.All.GreaterThan(0), "each row and each head has a header");
            var ids = page.Descendants().Attributes("id").Select(a => a.Value).ToList();
            Assert.That(ids, Is.Unique);
            Assert.That(page.Descendants("nav").Single().Elements("a").Select(a => a.Attribute("href")!.Value[1..]), Is.SubsetOf(ids));
        });
    }

    [Test]
    public void Two_hundred_services_of_six_hundred_samples_stay_below_two_megabytes()
    {
        _folder.Deployed().Flipped().KeepSamples("FreezeWrites", ReleaseFolder.Watch("blue", "live", _folder.Now.AddSeconds(-1300), 600, 2, services: 200));
        _folder.Started("MonitorTraffic").KeepSamples("MonitorTraffic", ReleaseFolder.Watch("green", "candidate", _folder.Now, 600, 2, "Inconclusive", services: 200, metricsPerService: 5)).Wait(1300)
            .Failed("MonitorTraffic", new string('x', 100_000), exit: 4);
        var page = Draw(_folder);
        Assert.That(new FileInfo(_folder.Page).Length, Is.LessThan(2_000_000));
        Assert.That(page.Descendants("path").Where(p => Class(p).StartsWith("line", StringComparison.Ordinal)).Select(p => Coordinates(p.Attribute("d")!.Value).Count), Is.All.LessThanOrEqualTo(Plot.MostPoints));
        Assert.That(Section(page, "verdict").Value, Does.Contain("600 more metrics, none of them worse"));
        Assert.That(Section(page, "flip").Value, Does.Contain("195 other services"));
    }

    [Test]
    public void A_long_journal_stays_below_two_megabytes()
    {
        _folder.Deployed();
        for (var i = 0; i < 3000; i++)
        {
            _folder.Add("FlipDns", JournalEvent.Interrupted, new() { ["message"] = new string('m', 200), ["evidence"] = new JsonObject { [$"FlipDns/{i}-{new string('f', 60)}.json"] = new string('a', 64) } });
        }

        var page = Draw(_folder);
        Assert.That(new FileInfo(_folder.Page).Length, Is.LessThan(2_000_000));
        Assert.That(Section(page, "evidence").Value, Does.Contain("more are in evidence/SHA256SUMS"));
        Assert.That(Section(page, "journal").Value, Does.Contain("more are in the journal"));
    }

    [TestCaseSource(nameof(Values))]
    public void Entries_of_whatever_data_still_make_a_page(string json)
    {
        string[] names =
            ["live", "candidate", "hosts", "changes", "evidence", "freezeMs", "frozenSince", "before", "before6", "after", "after6", "records", "recordsMs", "ttl", "verdict", "reason", "message", "outcome", "tracing", "auditRow", "remainingPerSecond",
            "missing", "inputs", "images", "ms", "waitingMs", "pollingMs", "exit", "pointOfNoReturn", "automatic"];
        foreach (var step in new[] { "Rollout", "TagRelease", "ExportHealthSnapshot", "BootstrapObservability", "FreezeWrites", "FlipDns", "MonitorTraffic", "ReenableTrading", "ReenableSafeMode", "RestoreDns", "InvestigateFailure" })
        {
            foreach (var (what, part) in new[] { (JournalEvent.Started, (string?)null), (JournalEvent.Intent, "fences"), (JournalEvent.Intent, "records"), (JournalEvent.Done, null), (JournalEvent.Failed, null) })
            {
                _folder.Add(step, what, new JsonObject(names.Select(n => KeyValuePair.Create(n, JsonNode.Parse(json)))), part);
            }
        }

        var page = Draw(_folder);
        Assert.That(page.Descendants("section").Count(), Is.EqualTo(8));
        Assert.That(page.Root!.Value, Does.Not.Contain("cannot be drawn"));
    }

    private static readonly string[] Values = ["null", "true", "-1", "1e300", "\"text\"", "\"\"", "[]", "[null,1,{}]", "{}", "{\"a\":null,\"b\":[1]}"];

    [Test]
    public void Stages_hours_apart_leave_room_for_what_happened()
    {
        _folder.Deployed().Wait(6 * 3600);
        _folder.Run = "run2";
        _folder.Flipped();
        var timeline = Section(Draw(_folder), "timeline");
        Assert.That(timeline.Value, Does.Contain("6 h 0 min left out"));
        var first = timeline.Descendants("rect").First(r => Class(r).StartsWith("bar", StringComparison.Ordinal));
        Assert.That(double.Parse(first.Attribute("width")!.Value, System.Globalization.CultureInfo.InvariantCulture), Is.GreaterThan(20), "five seconds of 1.1 can be seen");
    }

    [Test]
    public void A_page_replaces_the_one_before_and_is_the_owners()
    {
        _folder.Deployed();
        ReportPage.Write(_folder.Facts);
        _folder.Flipped();
        Assert.That(ReportPage.Write(_folder.Facts), Is.EqualTo(_folder.Page));
        Assert.That(Section(Read(_folder.Page), "dns").Value, Does.Contain("oms.aether.example.com"));
        Assert.That(Directory.GetFiles(_folder.Path).Select(Path.GetFileName), Is.EquivalentTo(new[] { ReportPage.Name }), "and leaves nothing half-written");
        if (!OperatingSystem.IsWindows())
        {
            Assert.That(File.GetUnixFileMode(_folder.Page), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
        }
    }

    [Test]
    public void A_page_that_cannot_be_put_there_is_an_error_and_leaves_nothing()
    {
        Directory.CreateDirectory(_folder.Page);
        Assert.That(() => ReportPage.Write(_folder.Deployed().Facts), Throws.InstanceOf<IOException>().Or.InstanceOf<UnauthorizedAccessException>());
        Assert.That(Directory.GetFiles(_folder.Path), Is.Empty);
    }

    private static XDocument Draw(ReleaseFolder folder)
    {
        ReportPage.Write(folder.Facts);
        return Read(folder.Page);
    }

    // It is XML as well, so that it can be looked into without a browser.
    private static XDocument Read(string path)
    {
        using var reader = XmlReader.Create(path, new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore });
        return XDocument.Load(reader, LoadOptions.PreserveWhitespace);
    }

    private static string Class(XElement element) => element.Attribute("class")?.Value ?? string.Empty;

    private static string Headline(XDocument page) => page.Descendants("h1").Single().Value;

    private static string Tile(XDocument page, string name) => page.Descendants("dt").Single(t => t.Value == name).ElementsAfterSelf("dd").Single().Value;

    private static XElement Section(XDocument page, string id) => page.Descendants("section").Single(s => s.Attribute("id")!.Value == id);

    private static string Row(XElement section, string head) =>
        Space().Replace(section.Descendants("tr").First(r => r.Element("th")?.Value.Trim() == head).Value, " ").Trim();

    private static IEnumerable<string> Outcomes(XDocument page) => Section(page, "timeline").Elements("table").Single().Element("tbody")!.Elements("tr")
        .Select(r => Space().Replace($"{r.Element("th")!.Value} {r.Elements("td").First().Value}", " "));

    private static List<(int X, int Y)> Coordinates(string path) => [.. Coordinate().Matches(path).Select(m => (int.Parse(m.Groups["x"].Value, System.Globalization.CultureInfo.InvariantCulture), int.Parse(m.Groups["y"].Value, System.Globalization.CultureInfo.InvariantCulture)))];

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();

    [GeneratedRegex(@"[ML](?<x>-?\d+) (?<y>-?\d+)")]
    private static partial Regex Coordinate();
}
