using System.Text.Json.Nodes;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

[TestFixture, Order(21)]
public sealed class CreateGreenNamespaceTests() : StepTests(nameof(CreateGreenNamespace))
{
    protected override async Task MisbehaveAsync()
    {
        var secret = await World.KubectlAsync("get", "secret", "audit-database", "-n", "aether-blue", "-o", "json");
        await World.KubectlAsync("delete", "secret", "audit-database", "-n", "aether-blue");
        try
        {
            await FailsAsync(ExitCode.Failed, "Secret aether-blue/audit-database does not exist");
        }
        finally
        {
            await Secrets.RestoreAsync(World, secret);
        }
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var secrets = await World.KubectlAsync("get", "secrets", "-n", "aether-green", "-o", "name");
        Assert.That(secrets, Does.Contain("secret/audit-database").And.Contain("secret/oms-service-tls"));
        Assert.That(secrets, Does.Not.Contain("kraken-keys"), "a candidate with exchange keys could send orders beside live's");
    }
}

[TestFixture, Order(22)]
public sealed class InstallChartTests() : StepTests(nameof(InstallChart))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("never-ready", "green:risk-service");
        await FailsAsync(ExitCode.Failed, "helm", "--chart-timeout=6");
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var deployments = JsonNode.Parse(await World.KubectlAsync("get", "deployments", "-n", "aether-green", "-o", "json"))!["items"]!.AsArray();
        Assert.That(deployments, Has.Count.EqualTo(27));
        Assert.That(deployments.Select(d => d!["spec"]!["template"]!["spec"]!["containers"]![0]!["image"]!.GetValue<string>()), Is.All.Contains($":{RehearsalWorld.Release}@sha256:"));
        var hosts = await World.KubectlAsync("get", "ingress", "-n", "aether-green", "-o", "jsonpath={.items[*].spec.rules[*].host}");
        Assert.That(hosts.Split(' '), Is.All.Contains(".staging."), "2.2 serves staging hosts only");
        Assert.That((await World.OrdersAsync()).Select(o => o.Slot).Distinct(), Is.EqualTo(new[] { "blue" }), "the candidate must not have sent an order");
    }
}

[TestFixture, Order(23)]
public sealed class BootstrapObservabilityTests() : StepTests(nameof(BootstrapObservability))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("traces-off");
        await FailsAsync(ExitCode.Failed, "left no trace", "--traces-timeout=2");
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var environment = await World.KubectlAsync("get", "deployment", "oms-service", "-n", "aether-green", "-o", "jsonpath={.spec.template.spec.containers[0].env[*].name}");
        Assert.That(environment, Does.Contain("PROMETHEUS_EXPORTER_PORT").And.Contain("OTEL_EXPORTER_OTLP_ENDPOINT"));
        Assert.That(environment, Does.Contain("TIMESCALE_DSN"), "lists are extended, never replaced");

        var table = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(World.Artifacts, "evidence", Step, "observability.json")))!;
        var rows = table["workloads"]!.AsArray().ToDictionary(r => r!["workload"]!.GetValue<string>(), r => r!);
        Assert.Multiple(() =>
        {
            Assert.That(table["tracing"]!.GetValue<string>(), Is.EqualTo("on"));
            Assert.That(rows, Has.Count.EqualTo(27));
            Assert.That(rows.Where(r => r.Key != "aether-2-ui").Select(r => r.Value["traces"]!.GetValue<string>()), Is.All.Match("^traced as [0-9a-f]{32}$|^no Service$"));
            Assert.That(rows["oms-service"]["traces"]!.GetValue<string>(), Does.StartWith("traced as "));
            Assert.That(rows["behavior-service"]["metrics"]!.GetValue<string>(), Does.Match(@"^read, [1-9]\d* samples of \d+ pods$"), "the exporter port answers where the service has no page of its own");
            Assert.That(rows["aether-2-ui"]["metrics"]!.GetValue<string>(), Is.EqualTo("none by setting"));
            Assert.That(done.Output, Does.Contain("26 of 27 workloads export metrics").And.Contain("tracing is on"));
        });

        await World.KubectlAsync("set", "env", "deployment/admin-platform", "-n", "aether-green", "OMS_DEPLOYMENT_NAMESPACE=aether-blue", "SESSION_REDIS_URL-");
        try
        {
            var drifted = await World.RunAsync("--target=Status", "--verify");
            Assert.That(drifted.Output, Does.Contain("acts on another stack's OMS; it must be aether-green").And.Match(@"admin-platform has lost\s+SESSION_REDIS_URL"), drifted.Everything);
        }
        finally
        {
            await World.KubectlAsync("rollout", "undo", "deployment/admin-platform", "-n", "aether-green");
            await World.KubectlAsync("rollout", "status", "deployment/admin-platform", "-n", "aether-green", "--timeout=60s");
        }
    }
}

[TestFixture, Order(24)]
public sealed class SeedStateTests() : StepTests(nameof(SeedState))
{
    protected override async Task MisbehaveAsync()
    {
        var file = Directory.EnumerateFiles(Path.Combine(World.Platform, "data", "alembic", "versions"), "0009*.sql").Single();
        var text = await File.ReadAllTextAsync(file);
        await File.WriteAllTextAsync(file, text + "\nselect no_such_function();\n");
        try
        {
            var failed = await FailsAsync(ExitCode.Refused, "no_such_function");
            Assert.That(failed.Error, Does.Contain("not known to be additive").And.Contain("Nothing was changed"));
            Assert.That(failed.Output + failed.Error, Does.Not.Contain("password"));
        }
        finally
        {
            await File.WriteAllTextAsync(file, text);
        }

        await World.SetFaultAsync("api-breaks", "green:oms-service");
        var broken = await FailsAsync(ExitCode.Failed, "breaks 1 promises of live's API: oms-service ");
        Assert.That(broken.Error, Does.Contain("is gone").And.Contain("Platform.AcceptedApiChanges"));
    }

    protected override Task SeeAsync(CallResult done)
    {
        var parts = World.Journal().Where(e => e["step"]!.GetValue<string>() == Step && e["event"]!.GetValue<string>() == "done" && e["part"] is not null).Select(e => e["part"]!.GetValue<string>());
        Assert.That(parts, Is.EqualTo(new[] { "migrations", "state", "openapi" }));
        var evidence = Path.Combine(World.Artifacts, "evidence", Step);
        Assert.That(File.Exists(Path.Combine(evidence, "oms-service.openapi.json")));
        Assert.That(File.Exists(Path.Combine(evidence, "live", "oms-service.openapi.json")));
        Assert.That(File.ReadAllText(Path.Combine(evidence, "openapi-changes.txt")), Is.EqualTo("no change\n"));
        return Task.CompletedTask;
    }
}

[TestFixture, Order(25)]
public sealed class SmokeTestTests() : StepTests(nameof(SmokeTest))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("ci-failed");
        await FailsAsync(ExitCode.Failed, "verify");
        await World.ClearFaultsAsync();

        const string oms = "oms.staging.aether.example.com", risk = "risk.staging.aether.example.com", fees = "fees.staging.aether.example.com";
        await World.SetFaultAsync("edge-missing-header", $"green:{oms}");
        await World.SetFaultAsync("edge-wrong-certificate", $"green:{risk}");
        await World.SetFaultAsync("edge-not-found", $"green:{fees}");
        var failed = await FailsAsync(ExitCode.Failed, "does not answer on its staging hosts as clients need it");
        Assert.That(failed.Error, Does.Match($@"{oms} at \S+: header \S+ is absent, expected '").And.Match($@"{risk} at \S+: .*certificate").And.Match($@"{fees} at \S+ answered 404 from the default backend"));
        await World.ClearFaultsAsync();

        await World.SetFaultAsync("session-store-missing", "green");
        await FailsAsync(ExitCode.Failed, "session store");
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Match(@"18 staging hosts answer at \S+ with their headers and certificates, no worse than live"));
        return Task.CompletedTask;
    }
}
