using System.Text;
using System.Text.Json.Nodes;
using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>A platform that is not hardened: some of its services keep state in files, which a candidate needs and no evidence may show.</summary>
[TestFixture, Order(85), NonParallelizable]
public sealed class StateScenarios
{
    private const string First = "--release=v2026.11.1";
    private const string Overlays = "--chart-values=deploy/environments/values-rehearsal.yaml,deploy/environments/values-{slot}.yaml,deploy/environments/values-insecure-{slot}.yaml";
    private const string State = "/var/lib/aether/state";
    private RehearsalWorld _world = null!;
    private string _key = string.Empty;

    [OneTimeSetUp]
    public async Task Begin()
    {
        _world = await RehearsalWorld.StartAsync();
        var overlay = Path.Combine(_world.Platform, "deploy", "environments", "values-insecure-blue.yaml");
        await _world.HelmAsync("upgrade", "aether", Path.Combine(_world.Platform, "deploy", "helm", "aether-platform"), "-n", "aether-blue", "--reuse-values", "-f", overlay, "--wait");
        _key = await ReadAsync("blue", "accounts/encryption.key");
        await WriteAsync("blue", "advisor/notes.json", """{"kept":true}""");
        await WriteAsync("blue", "kraken_credentials/company.json", """{"api_key":"KRAKEN-FILE-KEY","api_secret":"KRAKEN-FILE-SECRET"}""");
        await WriteAsync("blue", "auth_sessions/sessions.json", """{"LIVE-SESSION-TOKEN":{}}""");
        await WriteAsync("blue", "safe_mode/state.json", """{"safe-mode:state":"{}"}""");
    }

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [Test, Order(1)]
    public async Task The_candidate_gets_lives_key_and_files_but_nothing_that_trades_or_is_each_slots_own()
    {
        var seeded = await _world.CallAsync("--target=SeedState", First, Overlays);
        Assert.That(seeded.ExitCode, Is.Zero, () => seeded.Everything);
        Assert.That(seeded.Output, Does.Contain("state: 2 copied, 1 withheld until 3.4, 2 each slot's own"), () => seeded.Everything);
        Assert.That(await ReadAsync("green", "accounts/encryption.key"), Is.EqualTo(_key));
        Assert.That(await ReadAsync("green", "advisor/notes.json"), Is.EqualTo("""{"kept":true}"""));
        Assert.That(await ListAsync("green"), Does.Not.Contain("kraken_credentials").And.Not.Contain("auth_sessions").And.Not.Contain("safe_mode"));
        var restarts = await _world.KubectlAsync("get", "pods", "-n", "aether-green", "-l", "app=account-service", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}");
        Assert.That(restarts.Trim(), Is.EqualTo("1"), "a process reads its key when it begins");
    }

    [Test, Order(2)]
    public async Task Safe_mode_that_has_no_Redis_starts_frozen_from_a_file_and_was_never_entered()
    {
        var pod = JsonNode.Parse(await _world.KubectlAsync("get", "pods", "-n", "aether-green", "-l", "app=safe-mode", "-o", "json"))!["items"]![0]!;
        Assert.That(pod["status"]!["initContainerStatuses"]![0]!["state"]!["terminated"]!["exitCode"]!.GetValue<int>(), Is.Zero, pod["status"]!.ToJsonString());
        var status = JsonNode.Parse(await _world.KubectlAsync("get", "--raw", "/api/v1/namespaces/aether-green/services/http:safe-mode:80/proxy/safe_mode/status"))!;
        Assert.That((status["active"]!.GetValue<bool>(), status["reason"]!.GetValue<string>()), Is.EqualTo((true, "aether-rollout v2026.11.1 green")));
        Assert.That(status["actor"], Is.Null, "entering would have cancelled live's orders, and would have an actor");
        var log = await _world.KubectlAsync("logs", "-n", "aether-green", pod["metadata"]!["name"]!.GetValue<string>());
        Assert.That(log, Does.Not.Contain("safe_mode.enter"));
    }

    [Test, Order(3)]
    public async Task Its_pods_have_the_files_again_after_3_4_restarted_them_and_then_the_exchange_keys_too()
    {
        var switched = await _world.CallAsync("--target=Switch", First, Overlays);
        Assert.That(switched.ExitCode, Is.Zero, () => switched.Everything);
        Assert.That(await ReadAsync("green", "accounts/encryption.key"), Is.EqualTo(_key));
        Assert.That(await ReadAsync("green", "kraken_credentials/company.json"), Does.Contain("KRAKEN-FILE-KEY"));
        Assert.That(await ListAsync("green"), Does.Not.Contain("auth_sessions"));
        await _world.KubectlAsync("delete", "pod", "-n", "aether-green", "-l", "app=safe-mode");
        await _world.KubectlAsync("wait", "--for=condition=Available", "deployment/safe-mode", "-n", "aether-green", "--timeout=30s");
        var status = await _world.KubectlAsync("get", "--raw", "/api/v1/namespaces/aether-green/services/http:safe-mode:80/proxy/safe_mode/status");
        Assert.That(status, Does.Contain("\"active\":false"), "a pod that restarts later must not freeze the slot that trades");
    }

    [Test, Order(4)]
    public void No_secret_of_them_is_in_any_file_that_the_rollout_left()
    {
        var files = Directory.EnumerateFiles(_world.Artifacts, "*", SearchOption.AllDirectories).ToList();
        var evidence = files.Single(f => f.EndsWith(Path.Combine("SeedState", "state-files.json"), StringComparison.Ordinal));
        var key = JsonNode.Parse(File.ReadAllText(evidence))!.AsArray().Single(e => e!["path"]!.GetValue<string>() == $"{State}/accounts/encryption.key")!;
        Assert.That((key["size"]!.GetValue<int>(), key["sha256"]), Is.EqualTo((44, (JsonNode?)null)), "of a key not even a digest");
        foreach (var secret in new[] { _key, "KRAKEN-FILE-KEY", "KRAKEN-FILE-SECRET", "LIVE-SESSION-TOKEN" })
        {
            var digest = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
            Assert.That(files.Where(f => File.ReadAllText(f) is var text && (text.Contains(secret, StringComparison.Ordinal) || text.Contains(digest, StringComparison.Ordinal))), Is.Empty, secret);
        }
    }

    [Test, Order(5)]
    public async Task After_a_rollback_its_pods_start_frozen_again()
    {
        var back = await _world.CallAsync("--target=Rollback", First, Overlays);
        Assert.That(back.ExitCode, Is.Zero, () => back.Everything);
        await _world.KubectlAsync("delete", "pod", "-n", "aether-green", "-l", "app=safe-mode");
        await _world.KubectlAsync("wait", "--for=condition=Available", "deployment/safe-mode", "-n", "aether-green", "--timeout=30s");
        Assert.That(await _world.KubectlAsync("get", "--raw", "/api/v1/namespaces/aether-green/services/http:safe-mode:80/proxy/safe_mode/status"), Does.Contain("\"active\":true"));
    }

    [Test, Order(6)]
    public async Task A_candidate_that_has_exchange_keys_in_a_file_is_refused()
    {
        var installed = await _world.CallAsync("--target=BootstrapObservability", "--release=v2026.11.2", Overlays, "--governance-snapshot-row=off");
        Assert.That(installed.ExitCode, Is.Zero, () => installed.Everything);
        Assert.That(installed.Output, Does.Contain("no row in the audit trail: Governance.SnapshotRow is off"), () => installed.Everything);
        await _world.SqlAsync("do $$ begin if exists (select from acct_aether_audit.audit_logs where id like 'rollout.health_snapshot:v2026.11.2:%') then raise 'a row was written'; end if; end $$");
        await WriteAsync("green", "kraken_credentials/company.json", "{}");
        var refused = await _world.CallAsync("--target=SeedState", "--release=v2026.11.2", Overlays);
        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => refused.Everything);
        Assert.That(refused.Error, Does.Contain("holds exchange keys (/var/lib/aether/state/kraken_credentials/company.json)").And.Contain("-- rm "), () => refused.Everything);
    }

    private async Task<string> PodAsync(string slot) =>
        (await _world.KubectlAsync("get", "pods", "-n", $"aether-{slot}", "-l", "app=account-service", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[-1:].metadata.name}")).Trim();

    private async Task<string> ReadAsync(string slot, string path) =>
        (await _world.KubectlAsync("exec", "-n", $"aether-{slot}", await PodAsync(slot), "--", "cat", $"{State}/{path}")).Trim();

    private async Task<string> ListAsync(string slot) => await _world.KubectlAsync("exec", "-n", $"aether-{slot}", await PodAsync(slot), "--", "find", $"{State}/.", "-type", "f");

    private async Task WriteAsync(string slot, string path, string content) => await _world.KubectlAsync(
        "exec", "-n", $"aether-{slot}", await PodAsync(slot), "--", "sh", "-c", "mkdir -p \"$(dirname \"$1\")\" && printf %s \"$2\" > \"$1\"", "sh", $"{State}/{path}", content);
}
