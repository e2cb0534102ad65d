using System.Text.Json.Nodes;
using Rollout.Playbook;
using Rollout.Tests.Support;
using Rollout.Tests.Traffic;

namespace Rollout.Tests.Scenarios;

/// <summary>
/// A candidate that clients cannot be sent to: nothing is frozen for it, and no record changes. One rollout, which is refused again and again and
/// succeeds in the end.
/// </summary>
[NonParallelizable, Order(92)]
public sealed class TrafficScenarios
{
    private const string Fees = "fees.aether.example.com";
    private const string Oms = "oms.aether.example.com";
    private const string Risk = "risk.aether.example.com";
    private const string Volatility = "volatility.aether.example.com";

    private RehearsalWorld _world = null!;
    private TestAuthority _authority = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        await RehearsalWorld.StopSharedAsync();
        _world = await RehearsalWorld.StartAsync();
        _authority = new TestAuthority(Path.Combine(_world.Folder, "world", "ca.crt"), Path.Combine(_world.Folder, "world", "ca.key"));

        // Live has grown: one workload whose values name a count, and one whose values do not.
        await _world.KubectlAsync("scale", "deployment/fees-service", "-n", "aether-blue", "--replicas=3");
        await _world.KubectlAsync("scale", "deployment/kill-switch", "-n", "aether-blue", "--replicas=2");
        await _world.KubectlAsync("rollout", "status", "deployment/fees-service", "-n", "aether-blue", "--timeout=60s");
        var deployed = await _world.RunAsync("--target=Deploy");
        Assert.That(deployed.ExitCode, Is.Zero, () => deployed.Everything);
        Assert.That(await ReadyAsync("fees-service"), Is.EqualTo("1"), "the chart's own size");
    }

    [OneTimeTearDown]
    public Task End()
    {
        _authority.Dispose();
        return _world.StopAsync();
    }

    [TearDown]
    public Task End_misbehaviour() => _world.ClearFaultsAsync();

    [Test, Order(0)]
    public async Task Plan_tells_what_would_move_long_before_it_could()
    {
        var plan = await _world.RunAsync("--target=Plan");
        Assert.That(plan.ExitCode, Is.Zero, () => plan.Everything);
        Assert.That(plan.Output, Does.Match(@"3\.2 Flip DNS\s+point 18 hosts at 127\.\S+ \(candidate \(green\)\) by 18 of 18 records, TTL 5 s"));
    }

    [Test, Order(1)]
    public async Task An_expiring_certificate_is_refused_before_anything_is_frozen()
    {
        await PutCertificateAsync("aether-blue", "oms-service-tls", Oms, days: 3);
        var refused = await RefusedAsync(
            ExitCode.Failed,
            nameof(FreezeWrites),
            $"{Oms}: the certificate in aether-green/oms-service-tls expires at ",
            "(issuer CN=Aether Rehearsal CA); it must be valid for 7 days more; renew live's, which 3.1 copies, or issue one there by DNS-01");
        Assert.That(refused.Output, Does.Not.Contain("freezing live"));
        Assert.That((await _world.StatusAsync())["frozenSince"], Is.Null);
    }

    [Test, Order(2)]
    public async Task Hosts_that_are_wrong_are_refused_before_anything_is_frozen_each_with_what_was_expected_and_seen()
    {
        // Renewed meanwhile; and one that the candidate has of its own.
        await PutCertificateAsync("aether-blue", "oms-service-tls", Oms, days: 60);
        await PutCertificateAsync("aether-green", "volatility-service-tls", Volatility, days: 30, issuedAs: "volatility");
        var own = await CertificateAsync("aether-green", "volatility-service-tls");
        await _world.SetFaultAsync("edge-missing-header", $"green:{Fees}");
        await _world.SetFaultAsync("edge-wrong-certificate", $"green:{Risk}");
        await _world.SetFaultAsync("edge-not-found", $"green:{Oms}");
        var refused = await RefusedAsync(
            ExitCode.Failed,
            nameof(FreezeWrites),
            "3 things are wrong",
            $"{Fees} at {await AddressAsync("green")}: header Content-Security-Policy is absent, expected 'default-src 'self'",
            $"{Risk} at {await AddressAsync("green")}: the certificate (O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate) is for ingress.local, not for {Risk}",
            $"{Oms} at {await AddressAsync("green")} answered 404 from the default backend: the edge does not serve this host, expected 404 as live answers");
        Assert.That(refused.Output, Does.Not.Contain("freezing live"));
        Assert.That(await CertificateAsync("aether-green", "oms-service-tls"), Is.EqualTo(await CertificateAsync("aether-blue", "oms-service-tls")), "renewed is copied");
        Assert.That(await CertificateAsync("aether-green", "volatility-service-tls"), Is.EqualTo(own), "what cert-manager issued there stays");
        Assert.That(
            await GetAsync("ingress", "oms-service", "aether-green", "{.spec.rules[*].host}"),
            Is.EqualTo($"{Oms} oms.staging.aether.example.com"), "the staging hosts stay");
        var orders = await _world.OrdersAsync();
        Assert.That(orders[^1].Slot, Is.EqualTo("blue"));
    }

    [Test, Order(3)]
    public async Task The_candidate_gets_lives_size_before_the_freeze_also_where_live_grows_while_it_is_measured()
    {
        await _world.SetFaultAsync("cluster-hold", "before:FreezeWrites/baseline/done");
        var freezing = _world.RunAsync("--target=FreezeWrites", "--exclusive");
        await _world.HeldAsync();
        await _world.KubectlAsync("scale", "deployment/advisor-service", "-n", "aether-blue", "--replicas=2");
        await _world.ClearFaultsAsync();
        var frozen = await freezing;
        Assert.That(frozen.ExitCode, Is.Zero, () => frozen.Everything);
        Assert.That(frozen.Output, Does.Contain("has grown since its size was written down"), () => frozen.Everything);
        Assert.That(
            (await ReadyAsync("fees-service"), await ReadyAsync("kill-switch"), await ReadyAsync("advisor-service"), await ReadyAsync("oms-service")),
            Is.EqualTo(("3", "2", "2", "2")));
    }

    [TestCase("edge-missing-header", Fees, "header Content-Security-Policy is absent, expected 'default-src 'self'"), Order(4)]
    [TestCase("edge-missing-header", "ui.aether.example.com", "header Strict-Transport-Security is absent, expected 'max-age=31536000; includeSubDomains; preload' as live sends it")]
    [TestCase("edge-wrong-certificate", Risk, "is for ingress.local, not for risk.aether.example.com")]
    [TestCase("edge-not-found", Oms, "answered 404 from the default backend")]
    public async Task A_host_that_goes_wrong_in_the_freeze_is_refused_before_any_record_changes(string fault, string host, string says)
    {
        await _world.SetFaultAsync(fault, $"green:{host}");
        await RefusedAsync(ExitCode.Held, nameof(FlipDns), "1 thing is wrong", host, says);
    }

    [Test, Order(5)]
    public async Task A_services_own_404_is_refused_where_live_answers_the_same_request()
    {
        await SelectAsync("fees-service");
        var address = await AddressAsync("green");
        await RefusedAsync(ExitCode.Held, nameof(FlipDns), $"ui.aether.example.com at {address}: / answered 404, expected 200 as live answers");
        await SelectAsync("aether-2-ui");

        Task SelectAsync(string app) => _world.KubectlAsync(
            "patch", "service", "aether-2-ui", "-n", "aether-green", "--type=merge", "-p", new JsonObject { ["spec"] = new JsonObject { ["selector"] = new JsonObject { ["app"] = app } } }.ToJsonString());
    }

    [Test, Order(6)]
    public async Task A_candidate_that_shrank_in_the_freeze_is_refused_before_any_record_changes()
    {
        await _world.KubectlAsync("scale", "deployment/fees-service", "-n", "aether-green", "--replicas=1");
        await RefusedAsync(
            ExitCode.Held,
            nameof(FlipDns),
            "fees-service of candidate (green) has 1 ready, wanted are the 3 of live (blue), and it asks for 1: kubectl scale deployment/fees-service --replicas=3 -n aether-green");
        await _world.KubectlAsync("scale", "deployment/fees-service", "-n", "aether-green", "--replicas=3");
    }

    [Test, Order(7)]
    public async Task Mended_it_goes_on_and_the_size_stays_when_the_candidate_trades()
    {
        var switched = await _world.RunAsync("--target=Switch");
        Assert.That(switched.ExitCode, Is.Zero, () => switched.Everything);
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["green"] = 18 }));
        Assert.That((await ReadyAsync("fees-service"), await ReadyAsync("kill-switch")), Is.EqualTo(("3", "2")), "3.4's upgrade must not make it smaller");
    }

    // Refused in these words, and the DNS provider was asked to write nothing.
    private async Task<CallResult> RefusedAsync(ExitCode code, string step, params string[] says)
    {
        var refused = await _world.RunAsync($"--target={step}", "--exclusive", "--rollback=hold");
        var effects = JsonNode.Parse(await _world.EffectsAsync())!.AsObject();
        Assert.Multiple(() =>
        {
            Assert.That(refused.ExitCode, Is.EqualTo((int)code), refused.Everything);
            Assert.That(effects.ContainsKey("linode-record-writes") || effects.ContainsKey("linode-record-writes-repeated"), Is.False, "no record may be written");
            foreach (var words in says)
            {
                Assert.That(refused.Error, Does.Contain(words), refused.Everything);
            }
        });
        return refused;
    }

    private Task<string> ReadyAsync(string deployment) => GetAsync("deployment", deployment, "aether-green", "{.status.readyReplicas}");

    private Task<string> AddressAsync(string slot) => GetAsync("service", "ingress-nginx-controller", $"ingress-{slot}", "{.status.loadBalancer.ingress[0].ip}");

    private Task<string> CertificateAsync(string @namespace, string name) => GetAsync("secret", name, @namespace, "{.data.tls\\.crt}");

    private async Task<string> GetAsync(string kind, string name, string @namespace, string path) =>
        (await _world.KubectlAsync("get", kind, name, "-n", @namespace, "-o", $"jsonpath={path}")).TrimEnd();

    private async Task PutCertificateAsync(string @namespace, string name, string host, int days, string? issuedAs = null)
    {
        var now = TimeProvider.System.GetUtcNow();
        using var issued = _authority.Issue(host, now.AddHours(-1), now.AddDays(days), host.Replace(".aether.", ".staging.aether.", StringComparison.Ordinal));
        var file = Path.Combine(_world.Folder, "secret.json");
        await File.WriteAllTextAsync(file, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Secret",
            ["metadata"] = new JsonObject
            {
                ["name"] = name,
                ["namespace"] = @namespace,
                ["annotations"] = issuedAs is null ? [] : new JsonObject { ["cert-manager.io/certificate-name"] = issuedAs },
            },
            ["type"] = "kubernetes.io/tls",
            ["data"] = _authority.Secret(issued),
        }.ToJsonString());
        await _world.KubectlAsync("apply", "--server-side", "--force-conflicts", "-f", file);
    }
}
