using System.Text.Json.Nodes;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

[TestFixture, Order(11)]
public sealed class TagReleaseTests() : StepTests(nameof(TagRelease))
{
    // The first step has no predecessor; its precondition is the tag.
    [Test, Order(1)]
    public override async Task Refuses_without_its_precondition()
    {
        var failed = await World.CallAsync("--target=TagRelease", "--exclusive", "--release=v0.0.0");
        Assert.That(failed.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => failed.Everything);
        Assert.That(failed.Error, Does.Contain("v0.0.0"), () => failed.Everything);
    }

    protected override async Task MisbehaveAsync()
    {
        await World.SetFaultAsync("registry-missing-tag", "aether/oms-service");
        await FailsAsync(ExitCode.Failed, "oms-service");
        await World.ClearFaultsAsync();
        await GitAsync("tag", "v-of-this-checkout");
        var unknown = await World.CallAsync("--target=TagRelease", "--exclusive", "--release=v-of-this-checkout", $"--platform={World.Platform}");
        Assert.That(unknown.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => unknown.Everything);
        Assert.That(unknown.Error.ReplaceLineEndings(" "), Does.Contain("has no tag v-of-this-checkout").And.Contain("push origin v-of-this-checkout"));
    }

    private async Task GitAsync(params string[] arguments)
    {
        using var git = System.Diagnostics.Process.Start("git", ["-C", World.Platform, .. arguments]);
        await git.WaitForExitAsync();
        Assert.That(git.ExitCode, Is.Zero);
    }

    protected override Task SeeAsync(CallResult done)
    {
        var entry = World.Journal().Last(e => e["step"]!.GetValue<string>() == Step && e["event"]!.GetValue<string>() == "done");
        var images = entry["data"]!["images"]!.AsObject();
        Assert.That(images, Has.Count.EqualTo(27), "one image for each of the 27 workloads");
        Assert.That(images.Select(i => i.Value!.GetValue<string>()), Is.All.Match($"^{RehearsalWorld.Release}@sha256:[0-9a-f]{{64}}$"));
        var chart = Directory.EnumerateFiles(Path.Combine(World.Artifacts, "evidence", Step), "*.tgz").Single();
        var digest = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(chart)));
        Assert.That(entry["data"]!["package"]!.GetValue<string>(), Is.EqualTo($"sha256:{digest}"));
        Assert.That(entry["data"]!["githubRelease"]!.GetValue<string>(), Does.Contain(RehearsalWorld.Release));
        return Task.CompletedTask;
    }

}

[TestFixture, Order(12)]
public sealed class VerifyMigrationsTests() : StepTests(nameof(VerifyMigrations))
{
    protected override async Task MisbehaveAsync()
    {
        await FailsAsync(ExitCode.Failed, "ops/nowhere.json' is not there", "--platform-admin-source=ops/nowhere.json");
        await World.KubectlAsync("create", "deployment", "of-another-schema", "-n", "aether-blue", "--image=x", "--replicas=0");
        await World.KubectlAsync("set", "env", "deployment/of-another-schema", "-n", "aether-blue", "AETHER_DIRECTOR_1_TIMESCALE_SCHEMA=trading_one");
        try
        {
            var elsewhere = await FailsAsync(ExitCode.BadSettings, "of-another-schema keeps director-1 in schema trading_one. This rollout would look in acct_director_1");
            Assert.That(elsewhere.Error, Does.Contain("Platform.Schemas=director-1=trading_one"));
        }
        finally
        {
            await World.KubectlAsync("delete", "deployment", "of-another-schema", "-n", "aether-blue");
        }

        var file = Directory.EnumerateFiles(Path.Combine(World.Platform, "data", "alembic", "versions"), "0009*.sql").Single();
        var text = await File.ReadAllTextAsync(file);
        await File.WriteAllTextAsync(file, text + "\nALTER TABLE override_log DROP COLUMN reason;\n");
        try
        {
            var refused = await FailsAsync(ExitCode.Refused, "NOT additive: column public.override_log.reason text, required is gone");
            Assert.That(refused.Error, Does.Contain("--accept-point-of-no-return").And.Contain("Nothing was changed"));
            await File.WriteAllTextAsync(file, text + "\nDO $$ BEGIN DELETE FROM acct_company.events; END $$;\n");
            await FailsAsync(ExitCode.Refused, " rows of acct_company.events are changed or gone");
            var plan = await World.RunAsync("--target=Plan");
            Assert.That(plan.Output.ReplaceLineEndings(" "), Does.Contain("NO RETURN").Or.Contain("NO").And.Contain("NOT additive"), plan.Everything);
        }
        finally
        {
            await File.WriteAllTextAsync(file, text);
        }
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("admin accounts, schemas"));
        Assert.That(File.ReadAllText(Path.Combine(World.Artifacts, "evidence", Step, "migrate-admin-repository.log")), Does.Contain("Migrated"));
        return Task.CompletedTask;
    }
}

[TestFixture, Order(13)]
public sealed class ExportHealthSnapshotTests() : StepTests(nameof(ExportHealthSnapshot))
{
    protected override async Task MisbehaveAsync()
    {
        await World.KubectlAsync("label", "services", "--all", "-n", "aether-blue", "app.kubernetes.io/part-of-away=x", "app.kubernetes.io/part-of-", "--overwrite");
        try
        {
            await FailsAsync(ExitCode.Failed, "has no services");
        }
        finally
        {
            await World.KubectlAsync("label", "services", "--all", "-n", "aether-blue", "app.kubernetes.io/part-of=aether-platform", "app.kubernetes.io/part-of-away-", "--overwrite");
        }
    }

    protected override async Task SeeAsync(CallResult done)
    {
        var folder = Path.Combine(World.Artifacts, "evidence", Step);
        var manifest = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "manifest.json")))!.AsObject();
        Assert.That(manifest, Is.Not.Empty);
        foreach (var (file, digest) in manifest)
        {
            using var stream = File.OpenRead(Path.Combine(folder, file));
            Assert.That(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(stream)), Is.EqualTo(digest!.GetValue<string>()), file);
        }

        var health = World.Journal().Last(e => e["step"]!.GetValue<string>() == Step && e["event"]!.GetValue<string>() == "done")["data"]!["health"]!.AsObject();
        Assert.That(health, Has.Count.EqualTo(27));
        Assert.That(health["auth-service"]!.GetValue<string>(), Is.EqualTo("absent"), "the platform's auth service has no /healthz");
        Assert.That(health["oms-service"]!.GetValue<string>(), Is.EqualTo("ok"));

        await World.SqlAsync("create table snapshots_away as select * from acct_aether_audit.audit_logs; delete from acct_aether_audit.audit_logs");
        try
        {
            var deleted = await World.RunAsync("--target=Status", "--verify");
            Assert.That(deleted.Output.ReplaceLineEndings(" "), Does.Match(@"The audit trail has 0\s+rows\s+about the"), deleted.Everything);
        }
        finally
        {
            await World.SqlAsync("insert into acct_aether_audit.audit_logs select * from snapshots_away; drop table snapshots_away");
        }
    }
}

[TestFixture, Order(14)]
public sealed class StageConfigTests() : StepTests(nameof(StageConfig))
{
    protected override async Task MisbehaveAsync()
    {
        var secret = await World.KubectlAsync("get", "secret", "kraken-keys-director-2", "-n", "aether-blue", "-o", "json");
        var database = await World.KubectlAsync("get", "secret", "audit-database", "-n", "aether-blue", "-o", "json");
        await World.KubectlAsync("delete", "secret", "kraken-keys-director-2", "-n", "aether-blue");
        await World.KubectlAsync("patch", "secret", "audit-database", "-n", "aether-blue", "-p", """{"stringData":{"dsn":"postgresql://aether:change-me@db/aether"}}""");
        await World.KubectlAsync("set", "env", "deployment/account-service", "-n", "aether-blue", "ACCOUNT_DATABASE_URL=postgresql://live");
        try
        {
            // All that is wrong is told at once.
            var failed = await FailsAsync(ExitCode.Failed, "secret aether-blue/kraken-keys-director-2 does not exist");
            Assert.Multiple(() =>
            {
                Assert.That(failed.Error, Does.Contain("secret aether-blue/audit-database has a placeholder in its key dsn"));
                Assert.That(failed.Error, Does.Contain("account-service would lose ACCOUNT_DATABASE_URL, which live (blue) has").And.Contain("lists backendServices.accountService.env anew"));
                Assert.That(failed.Error, Does.Not.Contain("change-me"));
            });
        }
        finally
        {
            await Secrets.RestoreAsync(World, secret);
            await World.KubectlAsync("delete", "secret", "audit-database", "-n", "aether-blue");
            await Secrets.RestoreAsync(World, database);
            await World.KubectlAsync("set", "env", "deployment/account-service", "-n", "aether-blue", "ACCOUNT_DATABASE_URL-");
        }
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("helm lint"));
        return Task.CompletedTask;
    }
}
