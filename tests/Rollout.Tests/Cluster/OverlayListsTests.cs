using System.Text.Json.Nodes;
using Rollout.Cluster;

namespace Rollout.Tests.Cluster;

[Parallelizable(ParallelScope.All)]
public sealed class OverlayListsTests
{
    private const string Chart = """{"backendServices":{"oms":{"env":[{"name":"DSN"},{"name":"REGION"}],"args":["a","b"]}}}""";

    [Test]
    public void An_overlay_that_sets_one_entry_drops_the_others() => Assert.That(
        Lost(Chart, """{"backendServices":{"oms":{"env":[{"name":"REGION","value":"eu"}]}}}"""),
        Is.EqualTo(new[] { new LostEntry("1", "backendServices.oms.env", "DSN") }));

    [Test]
    public void What_a_later_file_puts_back_is_not_lost() => Assert.That(
        Lost(Chart, """{"backendServices":{"oms":{"env":[]}}}""", """{"backendServices":{"oms":{"env":[{"name":"REGION"},{"name":"DSN"}]}}}"""), Is.Empty);

    [Test]
    public void Each_file_is_held_against_all_before_it() => Assert.That(
        Lost(Chart, """{"other":1}""", """{"backendServices":{"oms":{"args":["b"]}}}"""), Is.EqualTo(new[] { new LostEntry("2", "backendServices.oms.args", "\"a\"") }));

    [TestCase("null")]
    [TestCase("[]")]
    public void A_list_that_is_emptied_loses_all(string list) => Assert.That(
        Lost(Chart, """{"backendServices":{"oms":{"env":LIST}}}""".Replace("LIST", list, StringComparison.Ordinal)).Select(l => l.Entry), Is.EquivalentTo(new[] { "DSN", "REGION" }));

    [Test]
    public void Maps_are_merged_and_lose_nothing() => Assert.That(Lost(Chart, """{"backendServices":{"oms":{"replicas":3},"ui":{"env":[]}}}"""), Is.Empty);

    private static IReadOnlyList<LostEntry> Lost(params string[] layers) =>
        OverlayLists.Lost([.. layers.Select((text, i) => ($"{i}", JsonNode.Parse(text)!.AsObject()))]);
}
