using System.Text;
using System.Text.Json.Nodes;
using Rollout.Database;
using Rollout.Playbook;

namespace Rollout.Tests.Playbook;

[Parallelizable(ParallelScope.All)]
public sealed class StoreChecksTests
{
    private const string Data = "postgresql://u:HUNTER@db.internal:5432/aether";

    [TestCase("TIMESCALE_DSN", Data, Data, "", "")]
    [TestCase("TIMESCALE_DSN", "postgresql://u:HUNTER@db.example.com/aether", Data, "oms: TIMESCALE_DSN leads to db.example.com:5432/aether, a host that exists in examples only", "")]
    [TestCase("TIMESCALE_DSN", "postgresql://u:HUNTER@localhost/aether", Data, "oms: TIMESCALE_DSN leads to localhost:5432/aether, which is the pod itself", "")]
    [TestCase("TIMESCALE_DSN", "mysql://u:HUNTER@db.internal/aether", Data, "oms: TIMESCALE_DSN is no address of a PostgreSQL server or a Redis", "")]
    [TestCase("SENTRY_DSN", "https://HUNTER@errors.internal/1", null, "", "")]
    [TestCase(
        "TIMESCALE_DSN", "postgresql://u:HUNTER@aether-postgresql:5432/aether", Data,
        "oms: TIMESCALE_DSN leads to aether-postgresql.green.svc:5432/aether, which the chart installs, empty, in candidate (green)'s own namespace; switch that dependency off and give live (blue)'s database", "")]
    [TestCase("RISK_DATABASE_URL", "postgresql://u:HUNTER@db.internal/other", Data, "oms: RISK_DATABASE_URL leads to db.internal:5432/other, that of live (blue) to db.internal:5432/aether: candidate (green) would be without its data", "")]
    [TestCase("RISK_DATABASE_URL", "postgresql://u:HUNTER@db.internal/other", null, "", "")]
    [TestCase("TIMESCALE_DSN", "postgresql://u:HUNTER@db.internal/other", "postgresql://u:HUNTER@db.internal/other", "oms: TIMESCALE_DSN leads to db.internal:5432/other, but ROLLOUT_SECRETS_DATABASE to db.internal:5432/aether: 2.4 would migrate, and 4.2 would look at, another database", "")]
    [TestCase("AUDIT_DATABASE_URL", "postgresql://u:HUNTER@db.internal/audit", "postgresql://u:HUNTER@db.internal/audit", "", "oms: AUDIT_DATABASE_URL leads to db.internal:5432/audit, but ROLLOUT_SECRETS_DATABASE to db.internal:5432/aether: 2.4 would migrate, and 4.2 would look at, another database")]
    [TestCase("TIMESCALE_DSN", "postgresql://u:HUNTER@10.0.0.9/aether", "postgresql://u:HUNTER@10.0.0.9/aether", "", "oms: TIMESCALE_DSN leads to 10.0.0.9:5432/aether, ROLLOUT_SECRETS_DATABASE to db.internal:5432/aether: two names of one server, or two servers")]
    [TestCase("SIM_MODE_DATABASE_URL", Data, Data, "oms: SIM_MODE_DATABASE_URL leads to db.internal:5432/aether in both slots; each needs one of its own, or the fence of one is the other's", "")]
    [TestCase("SIM_MODE_DATABASE_URL", "postgresql://u:HUNTER@db.internal/sim_green", "postgresql://u:HUNTER@db.internal/sim_blue", "", "")]
    [TestCase("SAFE_MODE_REDIS_URL", "redis://:HUNTER@redis.internal:6379/1", "redis://:HUNTER@redis.internal:6379/0", "", "")]
    [TestCase("SAFE_MODE_REDIS_URL", "redis://:HUNTER@redis.internal:6379/2", "redis://:HUNTER@redis.internal:6379/0", "oms: SAFE_MODE_REDIS_URL leads to redis.internal:6379/2, but 2.2 would seed safe mode in database 1 (ROLLOUT_SECRETS_REDIS_…): it would start unfrozen", "")]
    [TestCase("SESSION_REDIS_URL", "redis://aether-redis-master:6379/0", "redis://aether-redis-master:6379/0", "", "")]
    public void Where_the_candidates_addresses_must_lead(string name, string candidate, string? live, string problem, string warning)
    {
        var found = Judge(RolloutEnvironment.Production, (name, candidate), live);
        Assert.That((string.Join(";", found.Problems), string.Join(";", found.Warnings)), Is.EqualTo((problem, warning)));
    }

    [TestCase(RolloutEnvironment.Staging, "postgresql://u:p@db.prod.internal/aether", "oms: RISK_DATABASE_URL leads to db.prod.internal:5432/aether, which is called 'prod'; this is staging", "")]
    [TestCase(RolloutEnvironment.Production, "postgresql://u:p@db.internal/aether_staging", "", "oms: RISK_DATABASE_URL leads to db.internal:5432/aether_staging, which is called 'staging'; this is production")]
    [TestCase(RolloutEnvironment.Production, "postgresql://u:p@db.prod.internal/aether", "", "")]
    [TestCase(RolloutEnvironment.Staging, "postgresql://u:p@products.internal/aether", "", "")]
    [TestCase(RolloutEnvironment.Embedded, "postgresql://u:p@127.0.0.1/aether", "", "")]
    public void An_address_must_be_of_the_environment(RolloutEnvironment environment, string address, string problem, string warning)
    {
        var found = Judge(environment, ("RISK_DATABASE_URL", address), address);
        Assert.That((string.Join(";", found.Problems), string.Join(";", found.Warnings)), Is.EqualTo((problem, warning)));
    }

    [Test]
    public void What_many_workloads_have_is_told_once()
    {
        var found = new Findings();
        StoreChecks.Judge([.. new[] { "risk", "oms", "auth" }.Select(w => new StoreVariable(w, "RISK_DATABASE_URL", null))], [], Expected(RolloutEnvironment.Production), found);
        Assert.That(found.Problems, Is.EqualTo(new[] { "auth and 2 more: RISK_DATABASE_URL is no address of a PostgreSQL server or a Redis" }));
    }

    [Test]
    public void Addresses_are_found_in_secrets_imports_and_plain_values_and_through_a_Service_that_is_another_name()
    {
        var secret = new JsonObject
        {
            ["metadata"] = new JsonObject { ["name"] = "s" },
            ["data"] = new JsonObject { ["A_DSN"] = Convert.ToBase64String(Encoding.UTF8.GetBytes(Data)), ["other"] = "eA==" },
        };
        var service = JsonNode.Parse("""{"metadata":{"name":"timescale"},"spec":{"type":"ExternalName","externalName":"db.internal"}}""")!.AsObject();
        var workload = JsonNode.Parse("""
            {"metadata":{"name":"oms"},"spec":{"template":{"spec":{"containers":[{"envFrom":[{"secretRef":{"name":"s"}}],"env":[
            {"name":"B_DSN","valueFrom":{"secretKeyRef":{"name":"s","key":"A_DSN"}}},
            {"name":"C_DATABASE_URL","value":"postgresql://$(USER):$(PASSWORD)@timescale/aether"},
            {"name":"D_DATABASE_URL","value":"$(A_DSN)"},
            {"name":"E_DSN","valueFrom":{"secretKeyRef":{"name":"absent","key":"x"}}},
            {"name":"MODE","value":"postgresql://u:p@elsewhere/aether"}]}]}}}}
            """)!.AsObject();
        var variables = new StoreVariables("green", [secret], [service]).Of([workload]);
        Assert.That(
            variables.Select(v => $"{v.Workload} {v.Name} {v.Address}"),
            Is.EqualTo(new[] { "oms A_DSN db.internal:5432/aether", "oms B_DSN db.internal:5432/aether", "oms C_DATABASE_URL db.internal:5432/aether" }));
    }

    private static Findings Judge(RolloutEnvironment environment, (string Name, string Value) candidate, string? live)
    {
        var found = new Findings();
        StoreChecks.Judge(Of("green", candidate.Name, candidate.Value), live is null ? [] : Of("blue", candidate.Name, live), Expected(environment), found);
        Assert.That(found.Problems.Concat(found.Warnings), Has.None.Contains("HUNTER"));
        return found;
    }

    private static IReadOnlyList<StoreVariable> Of(string @namespace, string name, string value) => new StoreVariables(@namespace, [], []).Of(
    [
        new JsonObject
        {
            ["metadata"] = new JsonObject { ["name"] = "oms" },
            ["spec"] = new JsonObject { ["template"] = new JsonObject { ["spec"] = new JsonObject { ["containers"] = new JsonArray(new JsonObject { ["env"] = new JsonArray(new JsonObject { ["name"] = name, ["value"] = value }) }) } } },
        },
    ]);

    private static StoreExpectation Expected(RolloutEnvironment environment) => new(
        "candidate (green)", "live (blue)", new HashSet<string> { "aether-postgresql.green.svc" }, environment == RolloutEnvironment.Embedded ? null : StoreAddress.Read(Data), 1, environment);
}
