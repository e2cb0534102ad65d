using System.Text.Json.Nodes;
using Rollout.Reporting.Page;
using Rollout.Tests.Support;

namespace Rollout.Tests.Reporting.Page;

/// <summary>The page as a browser shows it, on a desk and on a phone, by day and by night.</summary>
public sealed class ReportPageBrowserTests
{
    private static readonly string Long = new('w', 300);

    private readonly Dictionary<string, ReleaseFolder> _folders = [];
    private Chromium _browser = null!;
    private int _blank;

    [OneTimeSetUp]
    public async Task Start()
    {
        _browser = await Chromium.StartAsync();
        Keep("done", new ReleaseFolder().Done());
        Keep("rolled-back", new ReleaseFolder().RolledBack());
        Keep("held", new ReleaseFolder().Deployed().Flipped().Started("MonitorTraffic").Keep("MonitorTraffic", WatchFile.Name, "<html>503 Service Unavailable</html>")
            .Failed("MonitorTraffic", "The watch of candidate (green) ended Inconclusive (NoData): no pod could be read.", exit: 4));
        Keep("empty", new ReleaseFolder());
        var hostile = new ReleaseFolder();
        var watch = JsonNode.Parse(ReleaseFolder.Watch("green", "candidate", hostile.Now.AddMinutes(2), 4, 2, "Failed").ToJsonString().Replace("oms-service", $"oms-{Long}", StringComparison.Ordinal))!.AsObject();
        foreach (var metric in watch["verdict"]!["metrics"]!.AsArray().Take(6))
        {
            metric!["verdict"] = Long;
            metric["metric"] = Long;
            metric["message"] = Long;
        }

        watch["source"] = Long;
        watch["slot"] = Long;
        Keep("hostile", hostile.Deployed().Flipped().Flipped().Flipped().Flipped().Flipped().Flipped().KeepSamples("MonitorTraffic", watch).Failed("SmokeTest" + new string('x', 300), "<script>document.title='taken'</script><img src=http://evil.example/x.png onerror=alert(1)>" + new string('y', 500)));
        var empty = Path.Combine(_folders["empty"].Path, "blank.html");
        await File.WriteAllTextAsync(empty, "<!DOCTYPE html><title>blank</title>");
        await _browser.OpenAsync(empty, 1280, "light");
        _blank = (await _browser.ScreenshotAsync()).Length;
    }

    [OneTimeTearDown]
    public async Task Stop()
    {
        foreach (var folder in _folders.Values)
        {
            folder.Dispose();
        }

        if (_browser is not null)
        {
            await _browser.DisposeAsync();
        }
    }

    [Test]
    public async Task The_page_fits_and_is_drawn_and_asks_for_nothing(
        [Values("done", "rolled-back", "held", "empty", "hostile")] string what, [Values(1280, 800, 375)] int width, [Values("light", "dark")] string scheme)
    {
        var page = _folders[what].Page;
        await _browser.OpenAsync(page, width, scheme);
        var scroll = (await _browser.EvaluateAsync("document.documentElement.scrollWidth"))!.GetValue<int>();
        var wide = (await _browser.EvaluateAsync(
            $"[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > {width} + 1 && !e.closest('svg')).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join(' | ')"))!.ToString();
        var background = (await _browser.EvaluateAsync("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"))!.GetValue<int>();
        var shot = await _browser.ScreenshotAsync();
        Attach($"{what}-{width}-{scheme}.png", shot);
        Assert.Multiple(() =>
        {
            Assert.That(scroll, Is.EqualTo(width), $"wider than the window: {wide}");
            Assert.That(wide, Is.Empty);
            Assert.That(_browser.Requests, Is.EqualTo(new[] { new Uri(page).AbsoluteUri }), "nothing but the page itself");
            Assert.That(_browser.Complaints, Is.Empty);
            Assert.That(background, scheme == "dark" ? Is.LessThan(150) : Is.GreaterThan(600));
            Assert.That(shot, Has.Length.GreaterThan(3 * _blank), "not blank");
        });
    }

    [Test]
    public async Task What_a_server_said_runs_as_nothing()
    {
        await _browser.OpenAsync(_folders["hostile"].Page, 1280, "light");
        Assert.That((await _browser.EvaluateAsync("document.title"))!.ToString(), Does.Not.Contain("taken"));
        Assert.That((await _browser.EvaluateAsync("document.querySelectorAll('script, img, iframe, object').length"))!.GetValue<int>(), Is.Zero);
    }

    [Test]
    public async Task What_happened_is_seen_without_scrolling()
    {
        foreach (var width in new[] { 1280, 375 })
        {
            await _browser.OpenAsync(_folders["rolled-back"].Page, width, "dark");
            var bottom = (await _browser.EvaluateAsync("[...document.querySelectorAll('.tiles div')][1].getBoundingClientRect().bottom"))!.GetValue<double>();
            Assert.That(bottom, Is.LessThan(900), $"headline, times and freeze at {width} px");
        }
    }

    [Test]
    public async Task Text_has_contrast_in_both_schemes()
    {
        foreach (var scheme in new[] { "light", "dark" })
        {
            await _browser.OpenAsync(_folders["rolled-back"].Page, 1280, scheme);
            var faint = (await _browser.EvaluateAsync(Contrast))!.ToString();
            Assert.That(faint, Is.Empty, scheme);
        }
    }

    [Test]
    public async Task On_paper_everything_is_open_and_nothing_is_cut_off()
    {
        await _browser.OpenAsync(_folders["done"].Page, 794, "dark");
        await _browser.EmulatePrintAsync();
        Assert.That(
            (await _browser.EvaluateAsync("[...document.querySelectorAll('details > :not(summary)')].filter(e => e.getBoundingClientRect().height === 0).length"))!.GetValue<int>(), Is.Zero, "closed details are printed");
        Assert.That((await _browser.EvaluateAsync("getComputedStyle(document.body).color"))!.ToString(), Is.EqualTo("rgb(0, 0, 0)"), "on paper it is never night");
        Assert.That((await _browser.EvaluateAsync("document.documentElement.scrollWidth"))!.GetValue<int>(), Is.EqualTo(794));
        Attach("done-paper.png", await _browser.ScreenshotAsync());
        var pdf = await _browser.PrintAsync();
        Attach("done.pdf", pdf);
        Assert.That(pdf, Has.Length.GreaterThan(20_000));
    }

    // WCAG's contrast ratio of every text against the nearest background that is painted; 4.5 is its level AA.
    private const string Contrast = """
        (() => {
          const lum = c => { const [r, g, b] = c.match(/[\d.]+/g).slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
          const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
          const bad = new Set();
          for (const e of document.querySelectorAll('body *')) {
            if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
            const a = lum(getComputedStyle(e).color), b = lum(ground(e)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
            if (ratio < 4.5) bad.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
          }
          return [...bad].join(' | ');
        })()
        """;

    private void Keep(string name, ReleaseFolder folder)
    {
        _folders[name] = folder;
        ReportPage.Write(folder.Facts);
    }

    // So that a person can look at them, too.
    private static void Attach(string name, byte[] content)
    {
        var folder = Directory.CreateDirectory(Path.Combine(TestContext.CurrentContext.WorkDirectory, "report-page"));
        var file = Path.Combine(folder.FullName, name);
        File.WriteAllBytes(file, content);
        TestContext.AddTestAttachment(file);
    }
}
