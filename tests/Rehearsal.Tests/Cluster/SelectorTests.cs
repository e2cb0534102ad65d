using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class SelectorTests
{
    [TestCase("a=b", true)]
    [TestCase("a==b", true)]
    [TestCase("a!=b", false)]
    [TestCase("missing!=b", true, Description = "an object without the label differs from it")]
    [TestCase("a in (b,c)", true)]
    [TestCase("a notin (b)", false)]
    [TestCase("missing notin (b)", true)]
    [TestCase("a", true)]
    [TestCase("!a", false)]
    [TestCase("!missing", true)]
    [TestCase("a=b,!c", true)]
    [TestCase("a=b, x/y.z = 1", true)]
    [TestCase("empty=", true)]
    [TestCase("", true)]
    public void Labels(string selector, bool matches) =>
        Assert.That(
            LabelSelector.Parse(selector).Matches(TestCluster.Object("""{"metadata":{"labels":{"a":"b","x/y.z":"1","empty":""}}}""")),
            Is.EqualTo(matches));

    [TestCase("a==b==c")]
    [TestCase("a in b")]
    [TestCase(",")]
    [TestCase("a,")]
    public void Nonsense_is_a_bad_request(string selector) =>
        Assert.That(Assert.Throws<ApiException>(() => LabelSelector.Parse(selector))!.Code, Is.EqualTo(400));

    [TestCase("metadata.name=box", true)]
    [TestCase("status.phase!=Running", false)]
    [TestCase("spec.nodeName=node,status.phase=Running", true)]
    [TestCase("status.podIP=", true)]
    public void Fields(string selector, bool matches)
    {
        var pod = TestCluster.Object("""{"metadata":{"name":"box"},"spec":{"nodeName":"node"},"status":{"phase":"Running"}}""");
        Assert.That(FieldSelector.Parse(ResourceCatalog.Find("", "pods")!, selector).Matches(pod), Is.EqualTo(matches));
    }
}
