using System.Text;
using System.Text.Json.Nodes;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>What a run finds that comes after one that was killed, interrupted, or given something else to roll out.</summary>
[TestFixture, Order(80), NonParallelizable]
public sealed class ResumeScenarios
{
    private const string First = "--release=v2026.11.1";
    private const string Second = "--release=v2026.11.2";
    private RehearsalWorld _world = null!;

    [OneTimeSetUp]
    public async Task Begin() => _world = await RehearsalWorld.StartAsync();

    [OneTimeTearDown]
    public Task End() => _world.StopAsync();

    [TearDown]
    public Task End_misbehaviour() => _world.ClearFaultsAsync();

    [Test, Order(1)]
    public async Task Other_inputs_than_the_recorded_ones_are_refused_and_named()
    {
        var recorded = await _world.CallAsync("--target=TagRelease", First);
        Assert.That(recorded.ExitCode, Is.Zero, () => recorded.Everything);
        var overlay = Path.Combine(_world.Platform, "deploy", "environments", "values-green.yaml");
        var before = await File.ReadAllTextAsync(overlay);
        await File.AppendAllTextAsync(overlay, "# another replica\n");
        var changed = await _world.CallAsync("--target=VerifyMigrations", First, "--monitoring-cycles=3");
        await File.WriteAllTextAsync(overlay, before);
        Assert.Multiple(() =>
        {
            Assert.That(changed.ExitCode, Is.EqualTo((int)ExitCode.Refused), changed.Everything);
            Assert.That(changed.Output + changed.Error, Does.Contain("2 inputs of v2026.11.1").And.Contain("setting Monitoring.Cycles was '2' and is '3'").And.Contain("values deploy/environments/values-green.yaml was"), changed.Everything);
            Assert.That(changed.Output + changed.Error, Does.Not.Contain("chart was"), changed.Everything);
        });
        var same = await _world.CallAsync("--target=VerifyMigrations", First, "--monitoring-timeout=200");
        Assert.That(same.ExitCode, Is.Zero, () => $"a wait is no input: {same.Everything}");
    }

    [Test, Order(2)]
    public async Task A_run_killed_in_the_freeze_is_followed_by_one_that_says_so_first()
    {
        var killed = await _world.SignalAsync("KILL", "3.2 Flip DNS", "--target=Switch", First);
        Assert.That(killed.ExitCode, Is.EqualTo(137), () => killed.Everything);
        var status = await _world.CallAsync("--target=Status", First);
        Assert.That(status.Output, Does.Contain("NO SLOT TRADES for").And.Contain("its process is gone"), () => status.Everything);
        var other = await _world.CallAsync("--target=TagRelease", "--release=v2026.11.9");
        Assert.That(other.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => other.Everything);
        Assert.That(other.Output + other.Error, Does.Contain("The rollout of v2026.11.1 has touched clients and has not ended; no slot trades since"), () => other.Everything);
        Assert.That(other.Output, Does.Contain("(its process is gone), which was at FlipDns of v2026.11.1"), () => other.Everything);
        var stopped = await _world.SignalAsync("TERM", "3.3 Monitor traffic", "--target=Switch", First);
        Assert.Multiple(() =>
        {
            Assert.That(stopped.ExitCode, Is.EqualTo((int)ExitCode.Interrupted), stopped.Everything);
            Assert.That(stopped.Output, Does.StartWith("!!! NO SLOT TRADES since"), stopped.Everything);
            Assert.That(stopped.Error, Does.StartWith("NO SLOT TRADES since"), stopped.Everything);
            Assert.That(stopped.Output, Does.Contain("until ./build.sh --target=Switch"), stopped.Everything);
        });
    }

    [Test, Order(3)]
    public async Task A_second_interrupt_corrupts_nothing_and_the_run_ends_within_five_seconds()
    {
        var stopped = await _world.SignalAsync("INT INT", "3.3 Monitor traffic", "--target=Switch", First);
        Assert.Multiple(() =>
        {
            Assert.That(stopped.ExitCode, Is.EqualTo((int)ExitCode.Interrupted), stopped.Everything);
            Assert.That(stopped.AfterSignal, Is.LessThan(TimeSpan.FromSeconds(5)), stopped.Everything);
            Assert.That(_world.Journal()[^1]["event"]!.GetValue<string>(), Is.EqualTo("interrupted"), stopped.Everything);
        });
        var resumed = await _world.CallAsync("--target=Switch", First);
        Assert.That(resumed.ExitCode, Is.Zero, () => resumed.Everything);
        var slots = (await _world.OrdersAsync()).Select(o => o.Slot).ToList();
        Assert.That(slots.SkipWhile(s => s == "blue"), Is.All.EqualTo("green"), "never two writers");
    }

    [Test, Order(4)]
    public async Task A_killed_automatic_rollback_is_finished_by_the_same_command()
    {
        var back = await _world.CallAsync("--target=Rollback", First);
        Assert.That(back.ExitCode, Is.Zero, () => back.Everything);
        await _world.SetFaultAsync("linode-refuse-record", "7");
        var killed = await _world.SignalAsync("KILL", "5.3 Validate blue", "--target=Switch", Second);
        Assert.That(killed.ExitCode, Is.EqualTo(137), () => killed.Everything);
        await _world.ClearFaultsAsync();
        var finished = await _world.CallAsync("--target=Switch", Second);
        Assert.Multiple(() =>
        {
            Assert.That(finished.ExitCode, Is.EqualTo((int)ExitCode.RolledBack), finished.Everything);
            Assert.That(finished.Output, Does.Contain("an earlier run was rolling back and ended: finishing that"), finished.Everything);
        });
        Assert.That(await _world.HostsBySlotAsync(), Is.EqualTo(new Dictionary<string, int> { ["blue"] = 18 }));
        Assert.That((await _world.OrdersAsync())[^1].Slot, Is.EqualTo("blue"));
        var again = await _world.CallAsync("--target=Switch", Second);
        Assert.That(again.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => again.Everything);
    }

    [Test, Order(5)]
    public async Task A_rollback_gives_live_the_size_it_had_before_the_freeze()
    {
        await _world.KubectlAsync("scale", "deployment/oms-service", "-n", "aether-blue", "--replicas=3");
        await _world.KubectlAsync("rollout", "status", "deployment/oms-service", "-n", "aether-blue", "--timeout=30s");
        var frozen = await _world.CallAsync("--target=FlipDns", Second, "--again");
        Assert.That(frozen.ExitCode, Is.Zero, () => frozen.Everything);
        await _world.KubectlAsync("scale", "deployment/oms-service", "-n", "aether-blue", "--replicas=1");
        var back = await _world.CallAsync("--target=Rollback", Second);
        Assert.That(back.ExitCode, Is.Zero, () => back.Everything);
        Assert.That(await _world.KubectlAsync("get", "deployment/oms-service", "-n", "aether-blue", "-o", "jsonpath={.spec.replicas}"), Does.StartWith("3"));
        Assert.That(back.Output, Does.Contain("scale oms-service of live (blue) from 1 back to 3"), () => back.Everything);
    }

    [Test, Order(6)]
    public async Task A_broken_lock_is_journalled_and_its_old_holder_does_nothing_more()
    {
        const string release = "--release=v2026.11.4";
        await _world.SetFaultAsync("cluster-hold", "after:VerifyMigrations/started");
        var holder = _world.CallAsync("--target=VerifyMigrations", release);
        await _world.HeldAsync();
        var refused = await _world.CallAsync("--target=VerifyMigrations", release);
        Assert.Multiple(() =>
        {
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), refused.Everything);
            Assert.That(refused.Output + refused.Error, Does.Match("holds the lock: .+ rolls out v2026.11.4, at VerifyMigrations since .+, last renewed .+ ago").And.Contain("--break-lock=REASON"), refused.Everything);
        });
        var broken = await _world.CallAsync("--target=VerifyMigrations", release, "--break-lock=the agent is known to be gone");
        Assert.That(broken.ExitCode, Is.Zero, () => broken.Everything);
        await _world.ClearFaultsAsync();
        var old = await holder;
        Assert.Multiple(() =>
        {
            Assert.That(old.ExitCode, Is.EqualTo((int)ExitCode.Refused), old.Everything);
            Assert.That(old.Output + old.Error, Does.Contain("lost the lock").Or.Contain("Another run wrote to the journal"), old.Everything);
        });
        var journal = await _world.JournalAsync("v2026.11.4");
        Assert.That(journal.Split("\"step\":\"VerifyMigrations\",\"event\":\"done\""), Has.Length.EqualTo(2), journal);
        Assert.That(journal, Does.Contain("broken by hand: the agent is known to be gone"));
    }

    [Test, Order(7)]
    public async Task A_journal_without_room_for_a_rollout_and_its_way_back_refuses_to_go_forward()
    {
        const string release = "v2026.11.9";
        var head = JournalEntry.Genesis;
        var text = new StringBuilder();
        for (var i = 1; text.Length < 900_000; i++)
        {
            var data = i == 1
                ? new JsonObject { ["live"] = "blue", ["candidate"] = "green", ["hosts"] = new JsonArray("oms.aether.example.com"), ["schema"] = 1, ["release"] = release }
                : new JsonObject { ["message"] = new string('x', 20_000) };
            var line = new JournalEntry(i, DateTimeOffset.UnixEpoch.AddSeconds(i), i == 1 ? "Rollout" : nameof(TagRelease), i == 1 ? JournalEvent.Started : JournalEvent.Failed, null, "a@b", "r", data, head).ToLine();
            head = JournalEntry.HashOf(line);
            text.Append(line).Append('\n');
        }

        await _world.CreateJournalAsync(release, text.ToString(), head);
        var refused = await _world.CallAsync("--target=TagRelease", $"--release={release}");
        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => refused.Everything[^3000..]);
        Assert.That(refused.Output + refused.Error, Does.Contain("might not fit"));
    }

    [Test, Order(8)]
    public async Task Past_the_point_of_no_return_the_run_holds_and_so_does_a_rollback()
    {
        const string release = "--release=v2026.11.3";
        var prepared = await _world.CallAsync("--target=BootstrapObservability", release);
        Assert.That(prepared.ExitCode, Is.Zero, () => prepared.Everything);

        // The migration is harmless by itself; what another hand takes away beside it is what the catalogue shows.
        await _world.SqlAsync("CREATE TABLE public.rollout_probe (id int, gone int)");
        await _world.SetFaultAsync("cluster-hold", "after:SeedState/migrations/intent");
        var seeding = _world.CallAsync("--target=SeedState", release);
        await _world.HeldAsync();
        await _world.SqlAsync("ALTER TABLE public.rollout_probe DROP COLUMN gone");
        await _world.ClearFaultsAsync();
        var held = await seeding;
        Assert.Multiple(() =>
        {
            Assert.That(held.ExitCode, Is.EqualTo((int)ExitCode.Held), held.Everything);
            Assert.That(held.Output + held.Error, Does.Contain("column public.rollout_probe.gone integer is gone"), held.Everything);
        });
        var back = await _world.CallAsync("--target=Rollback", release);
        Assert.That(back.ExitCode, Is.EqualTo((int)ExitCode.Held), () => back.Everything);
        Assert.That(back.Error, Does.Contain("past its point of no return"), () => back.Everything);
        var forward = await _world.CallAsync("--target=SeedState", release, "--accept-point-of-no-return");
        Assert.That(forward.ExitCode, Is.Zero, () => forward.Everything);
    }

    [Test, Order(9)]
    public async Task A_run_killed_right_before_an_accepted_migration_is_past_the_point_of_no_return_and_goes_on()
    {
        const string release = "--release=v2026.11.4";
        var versions = Path.Combine(_world.Platform, "data", "alembic", "versions");
        await File.WriteAllTextAsync(Path.Combine(versions, "0010_drop_probe.py"), "revision = \"0010_drop_probe\"\ndown_revision = \"0009_update_sim_mode_state_primary_key\"\n");
        await File.WriteAllTextAsync(Path.Combine(versions, "0010_drop_probe.sql"), "DROP TABLE public.rollout_probe;\n");
        var refused = await _world.CallAsync("--target=SeedState", release);
        Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), () => refused.Everything);
        Assert.That(refused.Error, Does.Contain("table public.rollout_probe is gone"), () => refused.Everything);
        await _world.SetFaultAsync("cluster-hold", "after:SeedState/schema/intent");
        var run = _world.StartStoppable("--target=SeedState", release, "--accept-point-of-no-return");
        await _world.HeldAsync();
        run.Signal("KILL");
        await run.Ended;
        await _world.ClearFaultsAsync();
        var status = await _world.CallAsync("--target=Status", release, "--json");
        Assert.That(status.Output, Does.Contain("table public.rollout_probe is gone"), () => status.Everything);
        var back = await _world.CallAsync("--target=Rollback", release);
        Assert.That(back.ExitCode, Is.EqualTo((int)ExitCode.Held), () => back.Everything);
        var forward = await _world.CallAsync("--target=SeedState", release, "--accept-point-of-no-return");
        Assert.That(forward.ExitCode, Is.Zero, () => forward.Everything);
    }
}
