namespace Rehearsal.Tests.Platform;

[Parallelizable(ParallelScope.All)]
public sealed class ChartTests
{
    private static readonly string[] Workloads =
    [
        "account-service", "advisor-service", "aether-2-ui", "auth-service", "behavior-service", "benchmark-service", "capital-allocator",
        "capital-flow-service", "config-service", "fees-service", "hitl-service", "kraken-ws-ingest", "marketdata-ingestor", "oms-service",
        "override-service", "policy-service", "risk-service", "seasonality-service", "secrets-service", "strategy-orchestrator",
        "universe-service", "volatility-service",
    ];

    private static readonly string[] Extras = ["admin-platform", "kill-switch", "safe-mode", "sequencer", "sim-mode"];

    private static readonly string[] Names =
    [
        "accounts", "advisor", "auth", "behavior", "benchmark", "config", "fees", "hitl", "oms", "override", "policy", "risk",
        "seasonality", "secrets", "strategy", "ui", "universe", "volatility",
    ];

    [Test]
    public async Task A_slot_has_the_22_workloads_and_the_five_that_the_platforms_chart_lacks([Values("blue", "green")] string slot)
    {
        var stack = await RenderedStack.OfAsync(slot);
        var expected = Workloads.Concat(Extras).Order(StringComparer.Ordinal).ToList();
        Assert.Multiple(() =>
        {
            Assert.That(stack.Names("Deployment"), Is.EqualTo(expected));
            Assert.That(stack.Names("Service"), Is.EqualTo(expected));
            Assert.That(stack.Names("PodDisruptionBudget"), Is.EqualTo(expected));
            Assert.That(stack.Names("Ingress"), Has.Count.EqualTo(18));
            Assert.That(stack.Names("HorizontalPodAutoscaler"), Does.Not.Contain("account-service"));
        });
    }

    [Test]
    public async Task A_rehearsals_slot_brings_no_database_no_job_and_no_secret_of_its_own()
    {
        var stack = await RenderedStack.OfAsync("green");
        foreach (var kind in new[] { "StatefulSet", "Job", "CronJob", "Secret", "PersistentVolumeClaim" })
        {
            Assert.That(stack.Names(kind), Is.Empty, kind);
        }
    }

    [Test]
    public async Task The_charts_own_values_bring_empty_databases_placeholder_secrets_and_late_migrations()
    {
        var stack = await RenderedStack.OfAsync(null);
        Assert.Multiple(() =>
        {
            Assert.That(stack.Names("Deployment"), Is.EqualTo(Workloads.Append("feast-online").Order(StringComparer.Ordinal)));
            Assert.That(
                stack.Names("StatefulSet"), Is.EqualTo(["aether-kafka", "aether-nats", "aether-postgresql", "aether-redis-master"]));
            Assert.That(stack.Names("Secret"), Has.Count.EqualTo(26));
            Assert.That(stack.Names("CronJob"), Is.EqualTo(["feast-backup"]));
            Assert.That(stack.Names("Job"), Is.EqualTo(["aether-account-bootstrap", "aether-config-bootstrap", "aether-data-migrations"]));
        });
        var migrations = stack.Text("Job", "aether-data-migrations");
        Assert.That(migrations, Does.Contain("helm.sh/hook: post-install,post-upgrade").And.Contain("helm.sh/hook-weight: \"30\""));
    }

    [TestCase(true, false)]
    [TestCase(false, true)]
    [TestCase(true, true)]
    public async Task Production_and_staging_hosts_are_switched_apart(bool production, bool staging)
    {
        var hosts = $"global.hosts.production={production},global.hosts.staging={staging}".ToLowerInvariant();
        var stack = await RenderedStack.OfAsync("green", "--set", hosts);
        var expected = Names.Where(_ => production).Select(n => $"{n}.aether.example.com")
            .Concat(Names.Where(_ => staging).Select(n => $"{n}.staging.aether.example.com")).Order(StringComparer.Ordinal);
        Assert.That(stack.Hosts, Is.EqualTo(expected));
    }

    [Test]
    public async Task A_stack_that_answers_to_no_name_is_refused()
    {
        var ran = await RenderedStack.TemplateAsync("green", "--set", "global.hosts.production=false,global.hosts.staging=false");
        Assert.That(ran.ExitCode, Is.Not.Zero);
        Assert.That(ran.Error, Does.Contain("global.hosts: production and staging are both off"));
    }

    [Test]
    public async Task One_certificate_covers_both_names_of_a_service()
    {
        var stack = await RenderedStack.OfAsync("green", "--set", "global.hosts.staging=true");
        Assert.That(stack.Text("Ingress", "strategy-orchestrator"), Does.Contain("""
              tls:
                - hosts:
                    - strategy.aether.example.com
                    - strategy.staging.aether.example.com
                  secretName: strategy-orchestrator-tls
            """));
    }

    [Test]
    public async Task Every_ingress_has_hardened_headers_but_the_UIs()
    {
        var stack = await RenderedStack.OfAsync("green");
        foreach (var name in stack.Names("Ingress"))
        {
            var text = stack.Text("Ingress", name);
            Assert.That(text, Does.Contain("ingressClassName: nginx-green"), name);
            foreach (var hardening in new[] { "more_set_headers \"X-Frame-Options: DENY\";", "force-ssl-redirect" })
            {
                Assert.That(text.Contains(hardening, StringComparison.Ordinal), Is.EqualTo(name != "aether-2-ui"), $"{name}: {hardening}");
            }
        }
    }

    [Test]
    public async Task Hardened_headers_cannot_be_switched_off_for_one_service()
    {
        var stack = await RenderedStack.OfAsync("green", "--set", "backendServices.oms.ingress.useGlobalSecurity=false");
        Assert.That(stack.Text("Ingress", "oms-service"), Does.Contain("more_set_headers"));
    }

    [Test]
    public async Task An_overlays_list_wipes_a_services_own_list()
    {
        var before = await RenderedStack.OfAsync("green");
        using var folder = new Folder();
        var overlay = folder.Write(
            "more.json", """{"backendServices": {"oms": {"env": [{"name": "PROMETHEUS_EXPORTER_PORT", "value": "9464"}]}}}""");
        var after = await RenderedStack.OfAsync("green", "-f", overlay);
        Assert.That(before.Environment("oms-service"), Does.Contain("TIMESCALE_DSN").And.Contain("AUDIT_DATABASE_URL"));
        Assert.That(
            after.Environment("oms-service"),
            Does.Contain("PROMETHEUS_EXPORTER_PORT").And.Not.Contain("TIMESCALE_DSN").And.Not.Contain("AUDIT_DATABASE_URL"));
    }

    [Test]
    public async Task A_backend_has_every_variable_of_the_rehearsal_once()
    {
        string[] promised =
        [
            "AETHER_SLOT", "AETHER_RELEASE", "AETHER_SERVICE", "AETHER_STATE_DIR", "ADMIN_ALLOWLIST", "DIRECTOR_ALLOWLIST",
            "SESSION_REDIS_URL", "SAFE_MODE_REDIS_URL", "SAFE_MODE_ACCOUNTS", "SIM_MODE_DATABASE_URL", "TIMESCALE_DSN",
            "AUDIT_DATABASE_URL", "OVERRIDE_DATABASE_URL", "EXCHANGE_URL", "SCALING_CHECK_INTERVAL", "OMS_DEPLOYMENT_NAMESPACE",
        ];
        var stack = await RenderedStack.OfAsync(
            "blue", "--set", "global.env[4].name=EXCHANGE_URL", "--set", "global.sessionStore.redisUrl=redis://elsewhere");
        foreach (var name in stack.Names("Deployment").Where(n => n != "aether-2-ui"))
        {
            Assert.That(stack.Environment(name), Is.Unique.And.SupersetOf(promised), name);
        }
    }

    [Test]
    public async Task A_slots_overlay_picks_the_slots_own_stores()
    {
        var text = (await RenderedStack.OfAsync("green")).Text("Deployment", "sim-mode");
        Assert.That(text, Does.Contain("key: dsn-green").And.Contain("value: aether-green").And.Not.Contain("blue"));
    }

    [Test]
    public async Task Exchange_keys_are_mounted_only_when_switched_on_and_only_where_they_are_needed()
    {
        string[] holders =
        [
            "account-service", "fees-service", "oms-service", "policy-service", "risk-service", "secrets-service", "universe-service",
        ];
        var without = await RenderedStack.OfAsync("green");
        var with = await RenderedStack.OfAsync("green", "--set", "global.krakenSecrets.enabled=true,global.krakenSecrets.checksum=abc");
        foreach (var name in with.Names("Deployment"))
        {
            Assert.That(without.Text("Deployment", name), Does.Not.Contain("kraken-keys").And.Not.Contain("KRAKEN_SECRET_PATH"), name);
            var mounts = with.Text("Deployment", name).Contains("kraken-keys-director-2", StringComparison.Ordinal);
            Assert.That(mounts, Is.EqualTo(holders.Contains(name)), name);
        }

        Assert.That(with.Text("Deployment", "oms-service"), Does.Contain("checksum/kraken-secrets: \"abc\"")
            .And.Contain("mountPath: /var/run/aether/kraken/director-1").And.Contain("optional: true")
            .And.Contain("name: AETHER_DIRECTOR_1_KRAKEN_SECRET_PATH"));
    }

    [Test]
    public async Task A_tag_with_a_digest_pins_an_image_and_the_release_is_its_tag()
    {
        var stack = await RenderedStack.OfAsync(
            "green", "--set", "global.image.registry=127.0.0.1:5000", "--set", "backendServices.oms.image.tag=v2026.11.1@sha256:0123",
            "--set", "backendServices.risk.image.repository=127.0.0.1:6000/other/risk-service");
        Assert.That(
            stack.Text("Deployment", "oms-service"),
            Does.Contain("image: \"127.0.0.1:5000/aether/oms-service:v2026.11.1@sha256:0123\"")
            .And.Match("name: AETHER_RELEASE\n +value: v2026.11.1\n"));
        Assert.That(stack.Text("Deployment", "risk-service"), Does.Contain("image: \"127.0.0.1:6000/other/risk-service:latest\""));
    }

    [TestCase("policy-service", "path: /healthz")]
    [TestCase("capital-flow-service", "path: /health\n")]
    [TestCase("fees-service", "path: /readyz")]
    [TestCase("marketdata-ingestor", "path: /metrics")]
    [TestCase("auth-service", "tcpSocket:")]
    public async Task A_service_is_probed_by_what_it_has(string workload, string probe) =>
        Assert.That((await RenderedStack.OfAsync("green")).Text("Deployment", workload), Does.Contain(probe));

    [TestCase("1.20.0", "autoscaling/v2beta2", "policy/v1beta1", "batch/v1beta1")]
    [TestCase("1.22.0", "autoscaling/v2beta2", "policy/v1", "batch/v1")]
    [TestCase("1.35.0", "autoscaling/v2", "policy/v1", "batch/v1")]
    public async Task Api_versions_follow_the_cluster(string kubernetes, string autoscaling, string disruption, string cron)
    {
        var stack = await RenderedStack.OfAsync(null, "--kube-version", kubernetes);
        Assert.Multiple(() =>
        {
            Assert.That(stack.Text("HorizontalPodAutoscaler", "oms-service"), Does.Contain($"apiVersion: {autoscaling}\n"));
            Assert.That(stack.Text("PodDisruptionBudget", "oms-service"), Does.Contain($"apiVersion: {disruption}\n"));
            Assert.That(stack.Text("CronJob", "feast-backup"), Does.Contain($"apiVersion: {cron}\n"));
        });
    }

    [TestCase("backendServices.oms.enabled=perhaps", "/backendServices/oms/enabled")]
    [TestCase("global.slot=red", "/global/slot")]
    [TestCase("backendServices.newcomer.enabled=true", "/backendServices/newcomer")]
    public async Task Values_of_another_shape_are_refused_by_their_place(string value, string place)
    {
        var ran = await RenderedStack.TemplateAsync("green", "--set", value);
        Assert.That(ran.ExitCode, Is.Not.Zero);
        Assert.That(ran.Error, Does.Contain(place));
    }
}
