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
            await FailsAsync(ExitCode.Held, "safe_mode.enter");
        }
        finally
        {
            await World.SqlAsync("insert into audit_log select * from audit_log_away on conflict do nothing; drop table audit_log_away");
        }
    }

    protected override Task SeeAsync(CallResult done)
    {
        Assert.That(done.Output, Does.Contain("safe_mode.enter").And.Contain("safe_mode.exit"));
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
