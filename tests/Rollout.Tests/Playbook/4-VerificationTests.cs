using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

[TestFixture, Order(41)]
public sealed class RefreshAggregatesTests() : StepTests(nameof(RefreshAggregates))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SqlAsync("alter materialized view acct_company.events_hourly rename to events_hourly_away");
        try
        {
            await FailsAsync(ExitCode.Held, "acct_company.events_hourly");
        }
        finally
        {
            await World.SqlAsync("alter materialized view acct_company.events_hourly_away rename to events_hourly");
        }
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("acct_director_2.events_hourly: refreshed"));
        return Task.CompletedTask;
    }
}

[TestFixture, Order(42)]
public sealed class AuditGovernanceTests() : StepTests(nameof(AuditGovernance))
{
    protected override async Task MisbehaveAsync()
    {
        await World.SqlAsync("create table audit_log_away as select * from audit_log; delete from audit_log");
        try
        {
            var held = await FailsAsync(ExitCode.Held, "live (blue) entered safe mode (3.1)", "--governance-require=trail");
            Assert.That(held.Output, Does.Contain("in no audit trail, only in account events"), held.Everything);
            await World.SqlAsync("insert into audit_log_away select * from audit_log; delete from audit_log; insert into audit_log select * from audit_log_away; update audit_log set actor = 'mallory' where action = 'safe_mode.exit'");
            await FailsAsync(ExitCode.Held, "1 rows of the audit trail are not what their hash was made of");
            await World.SqlAsync("delete from audit_log");
        }
        finally
        {
            await World.SqlAsync("insert into audit_log select * from audit_log_away on conflict do nothing; drop table audit_log_away");
        }
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("safe_mode.enter").And.Contain("safe_mode.exit"));
        var report = File.ReadAllText(Path.Combine(World.Artifacts, "evidence", Step, "governance.md"));
        Assert.That(report, Does.Contain("| live (blue) entered safe mode (3.1) |").And.Contain("| kill_switch_engaged aether-audit at ").And.Contain("| override.reject rollout-"));
        Assert.That(report, Does.Not.Contain("MISSING"), report);
        Assert.That(File.ReadAllText(Path.Combine(World.Artifacts, "evidence", Step, "governance-tests.log")), Does.Contain("says nothing about green"));
        return Task.CompletedTask;
    }
}

[TestFixture, Order(43)]
public sealed class ArchiveArtefactsTests() : StepTests(nameof(ArchiveArtefacts))
{
    protected override async Task MisbehaveAsync()
    {
        var file = Path.Combine(World.Artifacts, "evidence", nameof(TagRelease), "release.json");
        var text = await File.ReadAllTextAsync(file);
        await File.WriteAllTextAsync(file, text + " ");
        try
        {
            await FailsAsync(ExitCode.Held, "release.json");
        }
        finally
        {
            await File.WriteAllTextAsync(file, text);
        }
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("objects in the compliance bucket"));
        return Task.CompletedTask;
    }
}
