using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class TableTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 2, 0, 0, 0, TimeSpan.Zero);

    [TestCase(10, "10s")]
    [TestCase(119, "119s")]
    [TestCase(126, "2m6s")]
    [TestCase(600, "10m")]
    [TestCase(3 * 3600, "3h")]
    [TestCase((3 * 3600) + 120, "3h2m")]
    [TestCase(47 * 3600, "47h")]
    [TestCase(2 * 86400, "2d")]
    [TestCase(9 * 86400, "9d")]
    public void Ages_have_two_units_at_most(int seconds, string expected) =>
        Assert.That(Ages.Print(TimeSpan.FromSeconds(seconds)), Is.EqualTo(expected));

    [TestCase("""{"phase":"Pending"}""", "0/2 Pending 0")]
    [TestCase(
        """{"phase":"Running","containerStatuses":[{"ready":true,"restartCount":0,"state":{"running":{}}},{"ready":false,"restartCount":0,"state":{"running":{}}}]}""",
        "1/2 Running 0")]
    [TestCase(
        """{"phase":"Pending","containerStatuses":[{"restartCount":0,"state":{"waiting":{"reason":"ImagePullBackOff"}}}]}""",
        "0/2 ImagePullBackOff 0")]
    [TestCase(
        """{"phase":"Running","containerStatuses":[{"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"finishedAt":"2026-01-01T23:59:50Z"}}}]}""",
        "0/2 CrashLoopBackOff 3 (10s ago)")]
    [TestCase(
        """{"phase":"Succeeded","containerStatuses":[{"restartCount":0,"state":{"terminated":{"reason":"Completed","exitCode":0}}}]}""",
        "0/2 Completed 0")]
    [TestCase("""{"phase":"Pending","initContainerStatuses":[{"restartCount":0,"state":{"running":{}}}]}""", "0/2 Init:0/1 0")]
    public void A_pods_row_says_what_holds_it_up(string status, string expected)
    {
        var pod = TestCluster.Object(
            $$$$"""{"metadata":{"name":"p","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"containers":[{},{}],"initContainers":[{}]},"status":{{{{status}}}}}""");
        var cells = PodRow.Cells(pod, Now);
        Assert.That($"{cells[1]} {cells[2]} {cells[3]}", Is.EqualTo(expected));
    }

    [Test]
    public void A_pod_on_its_way_out_is_terminating()
    {
        var pod = TestCluster.Object(
            """{"metadata":{"name":"p","deletionTimestamp":"2026-01-02T00:00:00Z"},"spec":{"containers":[{}]},"status":{"phase":"Running"}}""");
        Assert.That(PodRow.Cells(pod, Now)[2], Is.EqualTo("Terminating"));
    }

    [Test]
    public void Every_kind_has_as_many_cells_as_columns()
    {
        Assert.Multiple(() =>
        {
            foreach (var type in ResourceCatalog.Resources)
            {
                var shape = TableShapes.Of(type);
                var bare = TestCluster.Object("""{"metadata":{"name":"x"}}""");
                Assert.That(shape.Cells(bare, Now), Has.Length.EqualTo(shape.Columns.Count), type.Kind);
            }
        });
    }

    [Test]
    public void Every_kind_has_a_type()
    {
        Assert.Multiple(() =>
        {
            foreach (var type in ResourceCatalog.Resources.Concat(ResourceCatalog.Reviews))
            {
                Assert.That(ApiTypes.Find(type.Kind), Is.Not.Null, type.Kind);
                Assert.That(ResourceCatalog.Groups, Does.Contain((type.Group, type.Version)), type.Kind);
            }
        });
    }
}
