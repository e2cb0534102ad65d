using System.Text.Json;
using Rollout.Monitoring;
using Rollout.Tests.Support;

namespace Rollout.Tests.Monitoring;

/// <summary>The tests' p-values against published ones, and series against the verdict they must have.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class EvidenceTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Repository.PathOf("tests", "Rollout.Tests", "Monitoring", "golden-vectors.json"))).RootElement;

    public static IEnumerable<TestCaseData> RankTests() =>
        Vectors.GetProperty("mannWhitney").EnumerateArray().Select(v => new TestCaseData(v).SetArgDisplayNames(v.GetProperty("name").GetString()!));

    public static IEnumerable<TestCaseData> Tails() =>
        Vectors.GetProperty("binomial").EnumerateArray().Select(v => new TestCaseData(v).SetArgDisplayNames(v.GetProperty("name").GetString()!));

    public static IEnumerable<TestCaseData> Watches() =>
        Vectors.GetProperty("watches").EnumerateArray().Select(v => new TestCaseData(v).SetArgDisplayNames(v.GetProperty("name").GetString()!));

    [TestCaseSource(nameof(RankTests))]
    public void Mann_Whitney_is_as_published(JsonElement vector)
    {
        var test = Evidence.MannWhitney(Numbers(vector, "observed"), Numbers(vector, "baseline"));
        var within = vector.GetProperty("within").GetDouble();
        Assert.That(test.U, Is.EqualTo(vector.GetProperty("u").GetDouble()));
        if (vector.TryGetProperty("twoSided", out var two))
        {
            Assert.That(test.TwoSided, Is.EqualTo(two.GetDouble()).Within(within));
        }

        if (vector.TryGetProperty("greater", out var one))
        {
            Assert.That(test.Greater, Is.EqualTo(one.GetDouble()).Within(within));
        }

        if (vector.TryGetProperty("effect", out var effect))
        {
            Assert.That(test.Effect, Is.EqualTo(effect.GetDouble()).Within(within));
        }
    }

    [TestCaseSource(nameof(Tails))]
    public void A_binomial_tail_is_as_published(JsonElement vector) =>
        Assert.That(
            Evidence.BinomialTail(vector.GetProperty("count").GetDouble(), vector.GetProperty("probability").GetDouble(), vector.GetProperty("hits").GetDouble()),
            Is.EqualTo(vector.GetProperty("p").GetDouble()).Within(vector.GetProperty("within").GetDouble()));

    [Test]
    public void Exact_and_approximate_p_agree_where_both_are_possible()
    {
        var random = new Random(3);
        double[] observed = [.. Enumerable.Range(0, 30).Select(_ => random.NextDouble() + 0.2)];
        double[] baseline = [.. Enumerable.Range(0, 40).Select(_ => random.NextDouble())];
        var exact = Evidence.MannWhitney(observed, baseline);
        // One more element that ties makes it the approximation.
        var approximate = Evidence.MannWhitney([.. observed, 0.5], [.. baseline, 0.5]);
        Assert.That(approximate.Greater, Is.EqualTo(exact.Greater).Within(0.01));
    }

    [Test]
    public void Equal_values_differ_in_nothing_and_no_values_say_nothing()
    {
        Assert.That(Evidence.MannWhitney([1, 1, 1], [1, 1, 1, 1]).Greater, Is.EqualTo(1));
        Assert.That(Evidence.MannWhitney([], [1]).Greater, Is.NaN);
    }

    [TestCaseSource(nameof(Watches))]
    public void A_watch_has_its_verdict(JsonElement vector)
    {
        var live = WatchSamples.FromJson(Vectors.GetProperty("live").GetRawText(), "live");
        var changes = WatchSamples.FromJson($$"""{"version":1,"services":{{vector.GetProperty("changes").GetRawText()}}}""", "changes").Services;
        var observed = live with
        {
            Readings = vector.GetProperty("reason").GetString() == "NothingScraped" ? 0 : live.Readings,
            Services = live.Services.Where(s => !changes.ContainsKey(s.Key)).Concat(changes.Where(c => c.Value.Count > 0)).ToDictionary(),
            Problems = [.. vector.GetProperty("problems").EnumerateArray().Select(p => p.GetString()!)],
            Incomplete = vector.GetProperty("incomplete").GetString(),
            Stalled = vector.GetProperty("stalled").GetString(),
        };
        var judgement = SteadinessJudge.Judge(live, observed, new JudgeThresholds());
        Assert.That(
            (judgement.Verdict.ToString(), judgement.Reason),
            Is.EqualTo((vector.GetProperty("verdict").GetString(), vector.GetProperty("reason").GetString())),
            judgement.Message);
    }

    private static double[] Numbers(JsonElement vector, string name) => [.. vector.GetProperty(name).EnumerateArray().Select(n => n.GetDouble())];
}
