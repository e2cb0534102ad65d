using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class ValueListsTests
{
    private const string Chart = """{"backendServices":{"oms":{"env":[{"name":"TIMESCALE_DSN"},{"name":"REDIS_URL"}],"envFrom":[{"secretRef":{"name":"oms"}}]}},"ranges":["10.0.0.0/8","192.0.2.0/24"],"args":["--password=x"],"rules":[{"to":1}]}""";

    [TestCase("""{"backendServices":{"oms":{"env":[{"name":"REDIS_URL","value":"other"},{"name":"NEW"}]}}}""", "backendServices.oms.env: TIMESCALE_DSN, of chart by overlay")]
    [TestCase("""{"backendServices":{"oms":{"env":[]}}}""", "backendServices.oms.env: REDIS_URL, of chart by overlay|backendServices.oms.env: TIMESCALE_DSN, of chart by overlay")]
    [TestCase("""{"backendServices":{"oms":{"envFrom":[]}}}""", "backendServices.oms.envFrom: envFrom:secretRef/oms, of chart by overlay")]
    [TestCase("""{"ranges":["10.0.0.0/8"]}""", "ranges: 192.0.2.0/24, of chart by overlay")]
    [TestCase("""{"args":[],"rules":[{"to":2}]}""", "args: entry 1, of chart by overlay|rules: entry 1, of chart by overlay")]
    [TestCase("""{"backendServices":{"oms":{"env":null}}}""", "")]
    [TestCase("""{"backendServices":null}""", "")]
    [TestCase("""{"backendServices":{"risk":{"env":[]}},"ranges":["192.0.2.0/24","10.0.0.0/8","198.51.100.0/24"]}""", "")]
    public void What_an_overlays_list_takes_away_is_named_with_both_files(string overlay, string lost) =>
        Assert.That(Lost(Lists(("chart", Chart), ("overlay", overlay)).Lost), Is.EqualTo(lost));

    [Test]
    public void What_a_later_overlay_gives_back_is_not_lost_and_the_one_that_took_the_rest_is_named()
    {
        var lists = Lists(("chart", Chart), ("first", """{"backendServices":{"oms":{"env":[{"name":"A"}]}}}"""), ("second", """{"backendServices":{"oms":{"env":[{"name":"TIMESCALE_DSN"}]}}}"""));
        Assert.That(Lost(lists.Lost), Is.EqualTo("backendServices.oms.env: A, of first by second|backendServices.oms.env: REDIS_URL, of chart by first"));
    }

    [Test]
    public void What_only_one_slots_overlays_take_away_is_told_from_what_both_do()
    {
        var green = Lists(("chart", Chart), ("green", """{"backendServices":{"oms":{"env":[]}},"ranges":["10.0.0.0/8"]}"""));
        var blue = Lists(("chart", Chart), ("blue", """{"backendServices":{"oms":{"env":[{"name":"REDIS_URL"}]}},"ranges":["10.0.0.0/8"]}"""));
        Assert.That(Lost(green.LostUnlike(blue)), Is.EqualTo("backendServices.oms.env: REDIS_URL, of chart by green"));
        Assert.That(blue.LostUnlike(green), Is.Empty);
    }

    private static string Lost(IReadOnlyList<LostEntry> lost) => string.Join("|", lost.Select(l => $"{l.Path}: {l.Entry}, of {l.From} by {l.By}"));

    private static ValueLists Lists(params (string File, string Values)[] layers) => ValueLists.Of(layers.Select(l => (l.File, JsonNode.Parse(l.Values)!.AsObject())));
}
