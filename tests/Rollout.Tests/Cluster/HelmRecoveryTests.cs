using System.Diagnostics;
using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

/// <summary>What is done about a revision that a killed run left pending.</summary>
public sealed class HelmRecoveryTests
{
    private static readonly DateTimeOffset Begun = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(100);
    private static readonly string[] Statuses =
        ["pending-install", "pending-upgrade", "pending-rollback", "uninstalling", "uninstalled", "failed", "superseded", "deployed", "unknown"];

    [TestCase("uninstalling")]
    [TestCase("failed")]
    [TestCase("superseded")]
    [TestCase("deployed")]
    [TestCase(null)]
    public void Where_nothing_is_pending_the_upgrade_proceeds(string? status)
    {
        foreach (var orphan in Orphans())
        {
            Assert.That(Decide(status, holdsLock: false, orphan, 0), Is.EqualTo(new HelmDecision.Proceed()));
        }
    }

    [TestCase("pending-install")]
    [TestCase("pending-upgrade")]
    [TestCase("pending-rollback")]
    public void A_pending_revision_is_removed_only_when_no_helm_can_be_at_work(string status)
    {
        var (alive, gone, unknown) = (new HelmOrphan.Alive(42), new HelmOrphan.Gone(), new HelmOrphan.Unknown());
        Assert.That(Decide(status, holdsLock: false, gone, 1000), Is.TypeOf<HelmDecision.Refuse>().With.Property("Why").Contains($"sh.v3) is {status} since 12:00:00 UTC"));
        Assert.That(Decide(status, holdsLock: true, gone, 0), Is.EqualTo(new HelmDecision.Remove("sh.v3")));
        Assert.That(Decide(status, holdsLock: true, unknown, 99), Is.EqualTo(new HelmDecision.Wait(Begun + Limit)));
        Assert.That(Decide(status, holdsLock: true, unknown, 100), Is.EqualTo(new HelmDecision.Remove("sh.v3")));
        Assert.That(Decide(status, holdsLock: true, alive, 99), Is.EqualTo(new HelmDecision.Wait(Begun + Limit)));
        Assert.That(Decide(status, holdsLock: true, alive, 159), Is.EqualTo(new HelmDecision.Wait(Begun + Limit + HelmRecovery.Grace)));
        Assert.That(
            Decide(status, holdsLock: true, alive, 160),
            Is.TypeOf<HelmDecision.Refuse>().With.Property("Why").Contains("process 42 on this machine, still runs 160 s").And.Property("Hint").EndsWith("kill 42"));
    }

    [Test]
    public void A_revision_that_seems_to_begin_in_the_future_is_waited_for_no_longer_than_one_that_begins_now() =>
        Assert.That(Decide("pending-upgrade", holdsLock: true, new HelmOrphan.Unknown(), -3600), Is.EqualTo(new HelmDecision.Wait(Begun.AddSeconds(-3600) + Limit)));

    [Test]
    public void No_state_removes_what_may_be_at_work_or_waits_for_ever()
    {
        var cases = from status in Gen.Elements(Statuses)
                    from holdsLock in Gen.Elements(true, false)
                    from orphan in Gen.Elements(Orphans())
                    from elapsed in Gen.Choose(-500, 500)
                    from limit in Gen.Choose(0, 300)
                    select (Status: status, HoldsLock: holdsLock, Orphan: orphan, Now: Begun.AddSeconds(elapsed), Limit: TimeSpan.FromSeconds(limit));
        Check.QuickThrowOnFailure(Prop.ForAll(cases.ToArbitrary(), c =>
        {
            var decision = HelmRecovery.Decide(Revision(c.Status), c.HoldsLock, c.Orphan, c.Limit, c.Now);
            var isPending = c.Status.StartsWith("pending-", StringComparison.Ordinal);
            var mayRemove = isPending && c.HoldsLock && c.Orphan is not HelmOrphan.Alive && (c.Orphan is HelmOrphan.Gone || c.Now >= Begun + c.Limit);
            return (decision is HelmDecision.Proceed == !isPending)
                .And(decision is not HelmDecision.Remove || mayRemove)
                .And(decision is not HelmDecision.Wait wait || (wait.Until > c.Now && wait.Until <= c.Now + c.Limit + HelmRecovery.Grace))
                .And(Waits(c.Status, c.HoldsLock, c.Orphan, c.Limit, c.Now < Begun ? Begun : c.Now) <= 2)
                .Label($"{c}: {decision}");
        }));
    }

    [TestCase("/opt/helm upgrade aether chart --kube-context=c --namespace=green --install", true)]
    [TestCase("helm upgrade aether chart -n green", true)]
    [TestCase("helm upgrade aether chart --namespace green", true)]
    [TestCase("helm upgrade aether chart --namespace=blue", false)]
    [TestCase("helm upgrade aether chart --namespace=green2", false)]
    [TestCase("helm upgrade other chart --namespace=green", false)]
    [TestCase("helm template aether chart --namespace=green", false)]
    [TestCase("nothelm upgrade aether chart --namespace=green", false)]
    [TestCase("", false)]
    public void The_helm_that_upgrades_the_release_is_found_among_the_processes(string line, bool isFound)
    {
        using var processes = new Processes((17, line, null), (18, "sleep 60", null));
        Assert.That(processes.Orphan(begunHere: true), isFound ? Is.EqualTo(new HelmOrphan.Alive(17)) : Is.EqualTo(new HelmOrphan.Gone()));
    }

    [TestCase("KUBECONFIG=/w/kubeconfig", true)]
    [TestCase("KUBECONFIG=/w/../w/kubeconfig", true)]
    [TestCase("HOME=/root", true)]
    [TestCase("KUBECONFIG=/other/kubeconfig", false)]
    public void A_helm_that_works_on_another_cluster_is_not_meant(string variable, bool isFound)
    {
        using var processes = new Processes((17, "helm upgrade aether chart --namespace=green", variable));
        Assert.That(processes.Orphan(begunHere: true), isFound ? Is.EqualTo(new HelmOrphan.Alive(17)) : Is.EqualTo(new HelmOrphan.Gone()));
    }

    [Test]
    public void That_no_helm_is_here_says_nothing_of_one_that_was_begun_elsewhere_or_where_processes_are_not_shown()
    {
        using var processes = new Processes((17, "sleep 60", null));
        Assert.That(processes.Orphan(begunHere: false), Is.EqualTo(new HelmOrphan.Unknown()));
        Assert.That(HelmRecovery.OrphanOf("aether", "green", begunHere: true, null, "/nowhere"), Is.EqualTo(new HelmOrphan.Unknown()));
    }

    [Test]
    [Platform(Include = "Linux")]
    public async Task What_a_killed_helm_left_pending_is_removed_and_the_next_upgrade_adopts_what_is_there()
    {
        var world = await RehearsalWorld.SharedAsync();
        var kubeconfig = Path.Combine(world.Folder, "world", "kubeconfig");
        var (kubectl, helm) = (await RealTools.KubectlAsync(), await RealTools.HelmAsync());
        using var place = new ToolPlace();
        await using var cluster = await KubernetesCluster.ConnectAsync(kubectl, kubeconfig, null, TimeProvider.System, place.Reports, default);
        var deployment = place.Deployment(kubectl, helm, kubeconfig);
        MakeChart(place);
        await deployment.CreateNamespaceAsync("recovery");
        try
        {
            await BreakAndMendAsync("pending-install", 1);
            await BreakAndMendAsync("pending-upgrade", 2);
        }
        finally
        {
            await deployment.DeleteNamespaceAsync("recovery");
        }

        async Task BreakAndMendAsync(string status, int number)
        {
            var pending = await KillWaitingHelmAsync();
            Assert.That((pending.Status, pending.Number), Is.EqualTo((status, number)));
            var before = await ObjectsAsync();
            Assert.That(
                () => UpgradeAsync(number),
                Throws.TypeOf<RolloutException>().With.Message.Contains("another operation (install/upgrade/rollback) is in progress"));

            var orphan = HelmRecovery.OrphanOf("shop", "recovery", begunHere: true, kubeconfig);
            var decision = HelmRecovery.Decide(pending, holdsLock: true, orphan, TimeSpan.FromMinutes(5), pending.Begun);
            Assert.That(decision, Is.EqualTo(new HelmDecision.Remove($"sh.helm.release.v1.shop.v{number}")));
            var secret = $"/api/v1/namespaces/recovery/secrets/{pending.Secret}";
            Assert.That(await cluster.DeleteUnchangedAsync(secret, "1", default), Is.False, "a revision that helm has written since is not removed");
            Assert.That(await cluster.DeleteUnchangedAsync(secret, pending.Version!, default), Is.True);
            await UpgradeAsync(number);
            var newest = await cluster.HelmRevisionAsync("recovery", "shop", default);
            Assert.That((newest!.Status, newest.Number, newest.Applied), Is.EqualTo(("deployed", number, "0a1b")));
            Assert.That(await ObjectsAsync(), Is.EqualTo(before), "the same objects, by their uids");
        }

        Task UpgradeAsync(int number) => deployment.UpgradeAsync(
            "shop", place.PathOf("shop"), "recovery", [place.PathOf("ready.yaml")], "test", ("0a1b", number), TimeSpan.FromSeconds(60));

        async Task<HelmRevision> KillWaitingHelmAsync()
        {
            var start = new ProcessStartInfo(helm, ["upgrade", "shop", place.PathOf("shop"), "--install", "--namespace=recovery", $"--values={place.PathOf("waits.yaml")}", "--wait=watcher", "--timeout=120s"])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            start.Environment["KUBECONFIG"] = kubeconfig;
            using var process = Process.Start(start)!;
            try
            {
                await Waiting.UntilAsync(
                    "helm to wait for the Deployment",
                    async token => (Revision: await cluster.HelmRevisionAsync("recovery", "shop", token), Objects: await ObjectsAsync()),
                    seen => seen is ({ IsPending: true }, [_, _]),
                    seen => seen.Revision?.Status ?? "no revision",
                    TimeSpan.FromSeconds(60),
                    TimeSpan.FromMilliseconds(100),
                    TimeProvider.System,
                    place.Reports,
                    default);
                Assert.That(HelmRecovery.OrphanOf("shop", "recovery", begunHere: true, kubeconfig), Is.EqualTo(new HelmOrphan.Alive(process.Id)));
            }
            finally
            {
                process.Kill();
                await process.WaitForExitAsync();
            }

            return (await cluster.HelmRevisionAsync("recovery", "shop", default))!;
        }

        async Task<IReadOnlyList<string>> ObjectsAsync() =>
            [.. (await cluster.ListAsync("/api/v1/namespaces/recovery/configmaps", default)).Concat(await cluster.ListAsync("/apis/apps/v1/namespaces/recovery/deployments", default))
                .Where(o => o["metadata"]!["name"]!.GetValue<string>() == "shop").Select(o => o["metadata"]!["uid"]!.GetValue<string>())];
    }

    // Its Deployment's image cannot be had, so helm waits as long as a pod is wanted.
    private static void MakeChart(ToolPlace place)
    {
        Directory.CreateDirectory(place.PathOf("shop/templates"));
        File.WriteAllText(place.PathOf("shop/Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 0.1.0\n");
        File.WriteAllText(place.PathOf("shop/values.yaml"), "replicas: 1\n");
        File.WriteAllText(place.PathOf("ready.yaml"), "replicas: 0\n");
        File.WriteAllText(place.PathOf("waits.yaml"), "replicas: 1\n");
        File.WriteAllText(place.PathOf("shop/templates/map.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {replicas: \"{{ .Values.replicas }}\"}\n");
        File.WriteAllText(
            place.PathOf("shop/templates/web.yaml"),
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: shop}
            spec:
              replicas: {{ .Values.replicas }}
              selector: {matchLabels: {app: shop}}
              template:
                metadata: {labels: {app: shop}}
                spec: {containers: [{name: shop, image: "nowhere/none:1"}]}
            """);
    }

    private static HelmOrphan[] Orphans() => [new HelmOrphan.Alive(42), new HelmOrphan.Gone(), new HelmOrphan.Unknown()];

    private static HelmRevision Revision(string status) => new(3, status, Begun, "sh.v3");

    private static HelmDecision Decide(string? status, bool holdsLock, HelmOrphan orphan, int seconds) =>
        HelmRecovery.Decide(status is null ? null : Revision(status), holdsLock, orphan, Limit, Begun.AddSeconds(seconds));

    // How often one is told to wait when the clock moves to what was told each time.
    private static int Waits(string status, bool holdsLock, HelmOrphan orphan, TimeSpan limit, DateTimeOffset now)
    {
        var waits = 0;
        while (waits < 10 && HelmRecovery.Decide(Revision(status), holdsLock, orphan, limit, now) is HelmDecision.Wait { Until: var until })
        {
            now = until;
            waits++;
        }

        return waits;
    }

    /// <summary>A folder like <c>/proc</c>.</summary>
    private sealed class Processes : IDisposable
    {
        private readonly string _folder = Directory.CreateTempSubdirectory("proc-").FullName;

        public Processes(params (int Id, string Line, string? Variable)[] processes)
        {
            Directory.CreateDirectory(Path.Combine(_folder, "sys"));
            Directory.CreateDirectory(Path.Combine(_folder, "99"));
            foreach (var (id, line, variable) in processes)
            {
                var folder = Directory.CreateDirectory(Path.Combine(_folder, $"{id}")).FullName;
                File.WriteAllText(Path.Combine(folder, "cmdline"), line.Replace(' ', '\0') + "\0");
                File.WriteAllText(Path.Combine(folder, "environ"), $"PATH=/bin\0{variable}\0");
            }
        }

        public HelmOrphan Orphan(bool begunHere) => HelmRecovery.OrphanOf("aether", "green", begunHere, "/w/kubeconfig", _folder);

        public void Dispose() => Directory.Delete(_folder, recursive: true);
    }
}
