using System.Text.Json.Nodes;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>What 1.4 refuses, each in a world where the rest is as it must be; and that it tells all of it at once.</summary>
[NonParallelizable, Order(87)]
public sealed class ConfigScenarios
{
    private const string Chart = "deploy/helm/aether-platform";

    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin()
    {
        _world = await RehearsalWorld.StartAsync();
        var walked = await _world.RunAsync($"--target={nameof(ExportHealthSnapshot)}");
        Assert.That(walked.ExitCode, Is.Zero, () => walked.Everything);
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test, Order(1)]
    public async Task What_is_in_no_commit_and_what_no_cluster_takes_is_named_at_once()
    {
        var overlay = Path.Combine(_world.Platform, "deploy", "environments", "values-green.yaml");
        var before = await File.ReadAllTextAsync(overlay);
        var added = Path.Combine(_world.Platform, Chart, "templates", "added.yaml");
        var fetched = Path.Combine(_world.Platform, Chart, "Chart.lock");
        await File.WriteAllTextAsync(overlay, before + "# tried out\n");
        await File.WriteAllTextAsync(fetched, "dependencies: []\n");
        await File.WriteAllTextAsync(added, """
            {apiVersion: v1, kind: ConfigMap, metadata: {name: added}}
            ---
            {apiVersion: v1, kind: ConfigMap, metadata: {name: added}}
            ---
            {apiVersion: v1, kind: ConfigMap, metadata: {name: of-live, namespace: aether-blue}}
            """);
        try
        {
            var refused = await RehearsalWorld.CallOnceAsync(_world.Folder, ["--target=Prepare", "--release=v2026.11.2"]);
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), refused.Everything);
            foreach (var says in new[]
            {
                "4 things are not as v2026.11.2 needs them",
                "deploy/environments/values-green.yaml has changes that are not committed",
                $"{Chart}/templates/added.yaml has changes that are not committed",
                "ConfigMap aether-green/added is rendered twice, by aether-platform/templates/added.yaml",
                "the chart renders ConfigMap of-live into aether-blue, which is live (blue)'s",
            })
            {
                Assert.That(refused.Error, Does.Contain(says), refused.Everything);
            }

            Assert.That(refused.Output, Does.Contain($"{Chart}/Chart.lock is in no commit"), refused.Everything);
        }
        finally
        {
            await File.WriteAllTextAsync(overlay, before);
            File.Delete(added);
            File.Delete(fetched);
        }
    }

    [Test, Order(1)]
    public async Task A_list_that_takes_from_the_candidate_what_live_has_is_named_with_its_file()
    {
        var overlay = Path.Combine(_world.Platform, "deploy", "environments", "values-green.yaml");
        var before = await File.ReadAllTextAsync(overlay);
        await File.WriteAllTextAsync(overlay, before + """
            backendServices:
              oms:
                env:
                  - { name: PROMETHEUS_EXPORTER_PORT, value: "9464" }
            """);
        try
        {
            var refused = await RehearsalWorld.CallOnceAsync(_world.Folder, ["--target=Prepare", "--release=v2026.11.3"]);
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), refused.Everything);
            Assert.That(refused.Error, Does.Contain("oms-service would lose TIMESCALE_DSN, which live (blue) has: deploy/environments/values-green.yaml lists backendServices.oms.env anew"), refused.Everything);
            Assert.That(refused.Error, Does.Not.Contain("risk-service would lose").And.Not.Contain("envFrom"), "what live lacks too is on record and no more");
            var recorded = Path.Combine(_world.Folder, "artifacts", "embedded", "v2026.11.3", "evidence", nameof(StageConfig), "replaced-lists.txt");
            Assert.That(await File.ReadAllTextAsync(recorded), Does.Contain(
                "backendServices.auth.envFrom: deploy/environments/values-rehearsal.yaml lists it anew without envFrom:secretRef/auth-service-config, which deploy/helm/aether-platform/values.yaml gives"));
        }
        finally
        {
            await File.WriteAllTextAsync(overlay, before);
        }
    }

    [Test, Order(1)]
    public async Task Secrets_that_are_missing_empty_or_placeholders_or_not_of_their_type_are_named_at_once_and_no_value_is()
    {
        var before = JsonNode.Parse(await _world.KubectlAsync("get", "secrets", "-n", "aether-blue", "-o", "json"))!["items"]!.AsArray()
            .ToDictionary(s => s!["metadata"]!["name"]!.GetValue<string>(), s => s!.ToJsonString());
        string CertificateOf(string secret) => JsonNode.Parse(before[secret])!["data"]!["tls.crt"]!.GetValue<string>();
        var changes = new (string Secret, string Patch)[]
        {
            ("kraken-keys-company", """{"stringData":{"credentials.json":"{\"apiKey\":\"HUNTER-KEY\",\"apiSecret\":\"HUNTER-SECRET\"}"}}"""),
            ("kraken-keys-director-1", """{"stringData":{"credentials.json":"{\"api_key\":\"HUNTER-KEY\",\"api_secret\":\"CHANGE_ME\"}"}}"""),
            ("audit-database", """{"stringData":{"dsn":"postgresql://hunter:change-me@db.internal/aether"}}"""),
            ("override-database", """{"stringData":{"dsn":""}}"""),
            ("admin-database", """{"data":{"dsn":null}}"""),
            ("oms-service-tls", $$$"""{"data":{"tls.crt":"{{{CertificateOf("risk-service-tls")}}}"}}"""),
        };
        await _world.KubectlAsync("delete", "secret", "release-manifest-database", "-n", "aether-blue");
        foreach (var (secret, patch) in changes)
        {
            await _world.KubectlAsync("patch", "secret", secret, "-n", "aether-blue", "--type=merge", "-p", patch);
        }

        try
        {
            var refused = await StageAsync();
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), refused.Everything);
            foreach (var says in new[]
            {
                "7 things are not as v2026.11.1 needs them",
                "secret aether-blue/kraken-keys-company has a credentials.json with apiKey or apiSecret, where the platform reads api_key and api_secret",
                "secret aether-blue/kraken-keys-director-1 has a placeholder in its key credentials.json",
                "secret aether-blue/audit-database has a placeholder in its key dsn",
                "secret aether-blue/override-database has nothing in its key dsn",
                "secret aether-blue/admin-database has no key dsn",
                "secret aether-blue/oms-service-tls holds no certificate with its key",
                "secret aether-blue/release-manifest-database does not exist",
            })
            {
                Assert.That(refused.Error, Does.Contain(says), refused.Everything);
            }

            Assert.That(refused.Everything, Does.Not.Contain("HUNTER").And.Not.Contain("hunter").And.Not.Contain("change-me").And.Not.Contain("CHANGE_ME"));
        }
        finally
        {
            await _world.KubectlAsync(["delete", "secret", "-n", "aether-blue", .. changes.Select(c => c.Secret)]);
            foreach (var secret in changes.Select(c => c.Secret).Append("release-manifest-database"))
            {
                await Playbook.Secrets.RestoreAsync(_world, before[secret]);
            }
        }
    }

    [Test, Order(1)]
    public async Task Objects_that_Argo_CD_or_Flux_would_put_back_refuse_the_rollout_and_name_their_owner()
    {
        await _world.KubectlAsync("annotate", "deployment", "oms-service", "-n", "aether-blue", "argocd.argoproj.io/tracking-id=aether-prod:apps/Deployment:aether-blue/oms-service");
        await _world.KubectlAsync("label", "namespace", "aether-blue", "kustomize.toolkit.fluxcd.io/name=namespaces", "kustomize.toolkit.fluxcd.io/namespace=flux-system");
        try
        {
            var refused = await StageAsync();
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), refused.Everything);
            Assert.That(refused.Error, Does.Contain("Argo CD application aether-prod keeps Deployment aether-blue/oms-service")
                .And.Contain("Flux Kustomization flux-system/namespaces keeps namespace aether-blue").And.Contain("argocd app delete").And.Contain("Nothing was changed"), refused.Everything);
        }
        finally
        {
            await _world.KubectlAsync("annotate", "deployment", "oms-service", "-n", "aether-blue", "argocd.argoproj.io/tracking-id-");
            await _world.KubectlAsync("label", "namespace", "aether-blue", "kustomize.toolkit.fluxcd.io/name-", "kustomize.toolkit.fluxcd.io/namespace-");
        }
    }

    [Test, Order(1)]
    public async Task Slots_that_do_not_have_a_class_a_controller_and_an_address_each_are_refused()
    {
        var green = await _world.KubectlAsync("get", "ingressclass", "nginx-green", "-o", "json");
        var status = await _world.KubectlAsync("get", "service", "ingress-nginx-controller", "-n", "ingress-green", "-o", "jsonpath={.status}");
        var blue = await _world.KubectlAsync("get", "service", "ingress-nginx-controller", "-n", "ingress-blue", "-o", "jsonpath={.status}");
        await _world.KubectlAsync("delete", "ingressclass", "nginx-green");
        await _world.KubectlAsync("patch", "service", "ingress-nginx-controller", "-n", "ingress-green", "--subresource=status", "--type=merge", "-p", $$"""{"status":{{blue}}}""");
        await _world.KubectlAsync("scale", "deployment", "ingress-nginx-controller", "-n", "ingress-green", "--replicas=0");
        await _world.KubectlAsync("wait", "--for=delete", "pod", "--all", "-n", "ingress-green", "--timeout=30s");
        try
        {
            var refused = await StageAsync();
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), refused.Everything);
            Assert.That(refused.Error, Does.Contain("3 things are not as v2026.11.1 needs them")
                .And.Contain("ingress class nginx-green of candidate (green) does not exist")
                .And.Contain("both slots have the same ingress address, ")
                .And.Contain("the ingress controller of candidate (green) (ingress-green/ingress-nginx-controller) has no ready pod"), refused.Everything);

            await Playbook.Secrets.RestoreAsync(_world, green.Replace("ingress-nginx-green", "ingress-nginx-blue", StringComparison.Ordinal));
            await _world.KubectlAsync("patch", "service", "ingress-nginx-controller", "-n", "ingress-green", "--subresource=status", "--type=merge", "-p", """{"status":{"loadBalancer":{"ingress":null}}}""");
            var again = await StageAsync();
            Assert.That(again.Error, Does.Contain("2 things are not as").And.Contain("The ingress controller of green (ingress-green/ingress-nginx-controller) has no load balancer address"), again.Everything);
            Assert.That(again.Output.ReplaceLineEndings(" "), Does.Contain("name the same controller"), again.Everything);
        }
        finally
        {
            await _world.KubectlAsync("patch", "service", "ingress-nginx-controller", "-n", "ingress-green", "--subresource=status", "--type=merge", "-p", $$"""{"status":{{status}}}""");
            await _world.KubectlAsync("scale", "deployment", "ingress-nginx-controller", "-n", "ingress-green", "--replicas=1");
            await _world.KubectlAsync("wait", "--for=condition=Available", "deployment/ingress-nginx-controller", "-n", "ingress-green", "--timeout=30s");
            await _world.KubectlAsync("delete", "ingressclass", "nginx-green", "--ignore-not-found");
            await Playbook.Secrets.RestoreAsync(_world, green);
        }
    }

    [Test, Order(1)]
    public async Task A_candidate_that_would_share_lives_fence_or_miss_its_data_is_refused()
    {
        var before = JsonNode.Parse(await _world.KubectlAsync("get", "secret", "sim-mode-database", "-n", "aether-blue", "-o", "json"))!;
        var blue = before["data"]!["dsn-blue"]!.GetValue<string>();
        var containers = JsonNode.Parse(await _world.KubectlAsync("get", "deployment", "capital-flow-service", "-n", "aether-blue", "-o", "json"))!["spec"]!["template"]!["spec"]!["containers"]!.ToJsonString();
        await _world.KubectlAsync("patch", "secret", "sim-mode-database", "-n", "aether-blue", "--type=merge", "-p", $$$"""{"data":{"dsn-green":"{{{blue}}}"}}""");
        await _world.KubectlAsync("set", "env", "deployment/capital-flow-service", "-n", "aether-blue", "TIMESCALE_DSN=postgresql://hunter:2@127.0.0.1:1/another");
        try
        {
            var refused = await StageAsync();
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), refused.Everything);
            Assert.That(refused.Error, Does.Contain("2 things are not as").And.Match("and 25 more: SIM_MODE_DATABASE_URL leads to .*/sim_blue in both slots")
                .And.Match("capital-flow-service: TIMESCALE_DSN leads to .*/aether, that of live .blue. to 127.0.0.1:1/another").And.Not.Contain("hunter"), refused.Everything);
        }
        finally
        {
            await _world.KubectlAsync("patch", "deployment", "capital-flow-service", "-n", "aether-blue", "--type=merge", "-p", """{"spec":{"template":{"spec":{"containers":""" + containers + "}}}}");
            await _world.KubectlAsync("patch", "secret", "sim-mode-database", "-n", "aether-blue", "--type=merge", "-p", $$"""{"data":{{before["data"]!.ToJsonString()}}}""");
            await _world.KubectlAsync("rollout", "status", "deployment/capital-flow-service", "-n", "aether-blue", "--timeout=60s");
        }
    }

    [Test, Order(1)]
    public async Task Sessions_that_the_longest_freeze_would_outlive_are_refused_for_both_slots()
    {
        var refused = await StageAsync(Longest);
        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), refused.Everything);
        Assert.That(refused.Error, Does.Contain("2 things are not as").And.Contain("the session of live (blue) ends at").And.Contain("the session of candidate (green) ends at")
            .And.Contain("a freeze could take 168 h 0 min"), refused.Everything);
    }

    // Last: a step that is done does not look again.
    [Test, Order(2)]
    public async Task The_commit_and_each_overlay_are_on_record()
    {
        var done = await StageAsync();
        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
        var data = _world.Journal().Last(e => e["step"]!.GetValue<string>() == nameof(StageConfig) && e["event"]!.GetValue<string>() == "done")["data"]!;
        var tagged = _world.Journal().Last(e => e["step"]!.GetValue<string>() == nameof(TagRelease) && e["event"]!.GetValue<string>() == "done")["data"]!;
        Assert.That(data["commit"]!.GetValue<string>(), Is.EqualTo(tagged["commit"]!.GetValue<string>()));
        var overlays = data["overlays"]!.AsObject();
        Assert.That(overlays.Select(o => o.Key), Is.EqualTo(new[] { "deploy/environments/values-rehearsal.yaml", "deploy/environments/values-green.yaml" }));
        Assert.That(overlays.Select(o => o.Value!.GetValue<string>()), Is.All.Match("^[0-9a-f]{64}$"));

        // Sessions end; that is no drift of what was looked at.
        var status = await _world.RunAsync(["--target=Status", "--verify", .. Longest]);
        Assert.That(status.Output, Does.Match(@"drift\s+none"), status.Everything);
    }

    // A rehearsal's sessions live for seven days; so long may nobody wait.
    private static string[] Longest =>
        ["--fence-timeout=86400", "--dns-timeout=86400", "--monitoring-timeout=86400", "--chart-timeout=86400", "--monitoring-orders-timeout=86400"];

    private Task<CallResult> StageAsync(params string[] arguments) => _world.RunAsync([$"--target={nameof(StageConfig)}", "--exclusive", .. arguments]);
}
