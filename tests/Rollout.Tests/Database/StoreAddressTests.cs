using Rollout.Database;

namespace Rollout.Tests.Database;

[Parallelizable(ParallelScope.All)]
public sealed class StoreAddressTests
{
    [TestCase("postgresql://aether:HUNTER@DB.internal:5433/aether?sslmode=require", "postgresql db.internal:5433/aether")]
    [TestCase("postgresql+psycopg://aether:HUNTER@db.internal/aether", "postgresql db.internal:5432/aether")]
    [TestCase("timescale://aether:HUNTER@db.internal/aether", "postgresql db.internal:5432/aether")]
    [TestCase("Host=db.internal;Database=aether;Username=a;Password=HUNTER", "postgresql db.internal:5432/aether")]
    [TestCase("redis://:HUNTER@redis.internal:6380/3", "redis redis.internal:6380/3")]
    [TestCase("rediss://redis.internal", "redis redis.internal:6379/0")]
    [TestCase("sqlite:///var/lib/HUNTER.db", "")]
    [TestCase("HUNTER", "")]
    public void Where_an_address_leads_is_read_without_who_may_go_there(string text, string address) =>
        Assert.That(StoreAddress.Read(text) is { } read ? $"{read.Kind} {read}" : string.Empty, Is.EqualTo(address));

    [TestCase("aether-postgresql", "aether-postgresql.green.svc")]
    [TestCase("aether-postgresql.green", "aether-postgresql.green.svc")]
    [TestCase("db.data.svc.cluster.local", "db.data.svc")]
    [TestCase("db.data.svc", "db.data.svc")]
    [TestCase("db.internal", "db.internal")]
    [TestCase("10.0.0.1", "10.0.0.1")]
    [TestCase("localhost", "localhost")]
    public void A_Service_is_one_of_the_namespace_that_asks(string host, string seen) =>
        Assert.That(StoreAddress.Read($"postgresql://u:p@{host}/aether")!.SeenFrom("green").Host, Is.EqualTo(seen));

    [TestCase("localhost", true, false)]
    [TestCase("127.0.0.1", true, false)]
    [TestCase("db.example.com", false, true)]
    [TestCase("db.test", false, true)]
    [TestCase("db.internal", false, false)]
    [TestCase("myexample.com", false, false)]
    public void Hosts_that_are_the_pod_itself_or_nobodys_are_known(string host, bool isLoopback, bool isExample)
    {
        var address = StoreAddress.Read($"postgresql://u:p@{host}/aether")!;
        Assert.That((address.IsLoopback, address.IsExample), Is.EqualTo((isLoopback, isExample)));
    }
}
