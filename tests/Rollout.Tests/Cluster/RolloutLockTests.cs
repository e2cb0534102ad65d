using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.Time.Testing;
using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

public sealed class RolloutLockTests
{
    private static readonly TimeSpan Duration = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);
    private readonly List<Contender> _begun = [];
    private FakeTimeProvider _world = null!;
    private LeaseDouble _cluster = null!;

    [SetUp]
    public void Begin()
    {
        _world = new FakeTimeProvider(new DateTimeOffset(2026, 11, 23, 12, 0, 0, TimeSpan.Zero));
        _cluster = new LeaseDouble();
    }

    [TearDown]
    public async Task End()
    {
        foreach (var begun in _begun)
        {
            await begun.DisposeAsync();
        }

        _begun.Clear();
        _cluster.Dispose();
    }

    [Test]
    public async Task A_free_lock_is_taken_and_says_by_whom_for_what()
    {
        _cluster.Namespaces.Clear();
        var alice = New("alice");
        var acquired = await PumpAsync(alice.Lock.AcquireAsync("v1", "TagRelease", null, default));
        Assert.That(acquired, Is.EqualTo(new Acquired(LockFound.Free, null, null, null, null)));
        Assert.That(alice.Lock.IsHeld, Is.True);
        var spec = _cluster.Stored!["spec"]!;
        Assert.That(spec["holderIdentity"]!.GetValue<string>(), Is.EqualTo("alice@host/run-alice"));
        Assert.That(spec["leaseDurationSeconds"]!.GetValue<int>(), Is.EqualTo(15));
        Assert.That(spec["renewTime"]!.GetValue<string>(), Is.EqualTo("2026-11-23T12:00:00.000000Z"));
        Assert.That((_cluster.Annotation("aether.io/release"), _cluster.Annotation("aether.io/step")), Is.EqualTo(("v1", "TagRelease")));
        Assert.That(ProcessMark.Parse(_cluster.Annotation("aether.io/process")), Is.EqualTo(ProcessMark.Own(alice.Proc.Root)));
        Assert.That(_cluster.Namespaces, Does.Contain("aether-rollout"));
    }

    [Test]
    public async Task A_lock_in_use_is_refused_naming_holder_release_step_and_age()
    {
        await HeldAsync("alice", "v2026.11.1", "FreezeWrites");
        await PassAsync(TimeSpan.FromSeconds(20));
        await PumpAsync(Alice.Lock.AtAsync("FlipDns", default));
        await PassAsync(TimeSpan.FromSeconds(252));
        var writes = _cluster.Writes;
        var error = await RefusedAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default));
        Assert.That(
            error.Message,
            Is.EqualTo("Another rollout holds the lock: alice@host (run run-alice) rolls out v2026.11.1, at FlipDns since 4 min 12 s, last renewed 2 s ago. Nothing was changed."));
        Assert.That(error.Hint, Does.Contain("--target=Status").And.Contain("--break-lock=REASON"));
        Assert.That(_cluster.Writes, Is.EqualTo(writes), "the refused run was to write nothing");
    }

    [Test]
    public async Task A_holder_that_missed_a_renewal_is_refused_with_the_way_to_break_its_lock()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await Alice.Lock.DisposeAsync();
        _world.Advance(TimeSpan.FromSeconds(14));
        var error = await RefusedAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default));
        Assert.That(error.Message, Does.Contain("last renewed 14 s ago"));
        Assert.That(error.Hint, Does.StartWith("It has missed a renewal.").And.Contain("--break-lock=REASON"));
    }

    [Test]
    public async Task A_released_lock_is_free_at_once_and_still_says_who_had_it()
    {
        await HeldAsync("alice", "v1", "ArchiveArtefacts");
        await PumpAsync(Alice.Lock.ReleaseAsync(default));
        Assert.That(_cluster.Stored!["spec"]!["holderIdentity"], Is.Null);
        Assert.That(Alice.Lock.IsHeld, Is.False);
        var acquired = await New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default);
        Assert.That(acquired, Is.EqualTo(new Acquired(LockFound.Free, null, "v1", "ArchiveArtefacts", ProcessMark.Own(Alice.Proc.Root))));
    }

    [Test]
    public async Task The_same_run_takes_its_lock_again_and_keeps_it()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        var acquired = await PumpAsync(Alice.Lock.AcquireAsync("v1", "ReenableSafeMode", null, default));
        Assert.That((acquired.How, acquired.PreviousStep), Is.EqualTo((LockFound.Own, "FlipDns")));
        Assert.That(_cluster.Annotation("aether.io/step"), Is.EqualTo("ReenableSafeMode"));
        await PumpAsync(Alice.Lock.RequireAsync(default));
    }

    [Test]
    public async Task Another_run_of_the_same_process_takes_over_at_once_and_ends_the_first()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        var again = New("rollback", Alice.Proc);
        var acquired = await again.Lock.AcquireAsync("v1", "ReenableSafeMode", null, default);
        Assert.That((acquired.How, acquired.PreviousHolder), Is.EqualTo((LockFound.Own, "alice@host/run-alice")));
        _world.Advance(Tick);
        await RefusedAsync(Alice.Lock.RequireAsync(default));
    }

    [Test]
    public async Task A_holder_whose_process_has_ended_is_replaced_at_once()
    {
        using var machine = new ProcDouble();
        machine.Be(100, 5000);
        New("alice", machine);
        await Alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        var mark = machine.Mark(100);
        await Alice.Lock.DisposeAsync();
        machine.End(100);
        machine.Be(200, 9000);
        var bob = New("bob", machine);
        var taking = bob.Lock.AcquireAsync("v1", "FlipDns", null, default);
        Assert.That(taking.IsCompleted, Is.True, "no time was to pass");
        Assert.That(await taking, Is.EqualTo(new Acquired(LockFound.Dead, "alice@host/run-alice", "v1", "FlipDns", mark)));
    }

    [Test]
    public async Task A_lock_is_broken_when_a_person_says_so_and_its_holder_can_do_nothing_more()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        var bob = New("bob");
        var acquired = await bob.Lock.AcquireAsync("v1", "FlipDns", "alice's laptop fell into the sea", default);
        Assert.That((acquired.How, acquired.PreviousHolder, acquired.PreviousProcess), Is.EqualTo((LockFound.Broken, "alice@host/run-alice", ProcessMark.Own(Alice.Proc.Root))));
        _world.Advance(Tick);
        var error = await RefusedAsync(Alice.Lock.RequireAsync(default));
        Assert.That(error.Message, Does.StartWith("This run has lost the lock: bob@host (run run-bob) rolls out v1, at FlipDns"));
        Assert.That(error.Hint, Does.Contain("--target=Status"));
        Assert.That(Alice.Lock.Lost.IsCancellationRequested, Is.True);
        await PumpAsync(bob.Lock.RequireAsync(default));
    }

    [Test]
    public async Task An_abandoned_lock_is_taken_after_it_was_watched_for_its_whole_duration()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await Alice.Lock.DisposeAsync();
        _world.Advance(TimeSpan.FromMinutes(3));
        var bob = New("bob");
        var taking = bob.Lock.AcquireAsync("v1", "FlipDns", null, default);
        await PassAsync(Duration - Tick);
        Assert.That((taking.IsCompleted, _cluster.Stored!["spec"]!["holderIdentity"]!.GetValue<string>()), Is.EqualTo((false, "alice@host/run-alice")), "it was taken too early");
        Assert.That((await PumpAsync(taking)).How, Is.EqualTo(LockFound.Expired));
        Assert.That(bob.Progress.Lines, Has.Some.Contains("watching whether the lock's holder still lives").And.Some.Contains("alice@host (run run-alice) rolls out v1, at FlipDns since 3 min"));
    }

    [Test]
    public async Task The_holders_own_duration_is_waited_for_and_not_the_newcomers()
    {
        _begun.Add(new Contender(_cluster, _world, "alice", TimeSpan.FromSeconds(60)));
        await Alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        await Alice.Lock.DisposeAsync();
        _world.Advance(TimeSpan.FromMinutes(3));
        var taking = New("bob").Lock.AcquireAsync("v1", "FlipDns", null, default);
        await PassAsync(TimeSpan.FromSeconds(59));
        Assert.That(taking.IsCompleted, Is.False);
        Assert.That((await PumpAsync(taking)).How, Is.EqualTo(LockFound.Expired));
    }

    [TestCase(-5, TestName = "A_living_holder_whose_clock_is_minutes_behind_is_refused")]
    [TestCase(5, TestName = "A_living_holder_whose_clock_is_minutes_ahead_is_refused")]
    public async Task A_living_holder_keeps_its_lock_whatever_its_clock_shows(int minutes)
    {
        New("alice");
        Alice.Time.Skew = TimeSpan.FromMinutes(minutes);
        await Alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        var error = await RefusedAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default));
        Assert.That(error.Message, Does.Contain("It was renewed while this run watched"));
        await PumpAsync(Alice.Lock.RequireAsync(default));
    }

    [TestCase(-5)]
    [TestCase(5)]
    public async Task A_gone_holder_is_replaced_whatever_its_clock_showed(int minutes)
    {
        New("alice");
        Alice.Time.Skew = TimeSpan.FromMinutes(minutes);
        await Alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        await Alice.Lock.DisposeAsync();
        Assert.That((await PumpAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default))).How, Is.EqualTo(LockFound.Expired));
    }

    [Test]
    public async Task A_holder_that_gives_its_lock_back_while_it_is_watched_leaves_it_free()
    {
        New("alice");
        Alice.Time.Skew = TimeSpan.FromMinutes(-5);
        await Alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        var taking = New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default);
        await Alice.Lock.ReleaseAsync(default);
        Assert.That((await PumpAsync(taking)).How, Is.EqualTo(LockFound.Free));
    }

    [Test]
    public async Task Of_two_that_see_the_lock_free_one_gets_it([Values] bool exists)
    {
        if (exists)
        {
            await HeldAsync("carol", "v0", "ArchiveArtefacts");
            await PumpAsync(Alice.Lock.ReleaseAsync(default));
        }

        var bob = New("bob");
        var other = New("alice");
        Task<Acquired>? second = null;
        _cluster.OnRequest = method =>
        {
            // Between the reading and the writing of the first, the second does both.
            if (method != "GET" && second is null)
            {
                _cluster.OnRequest = _ => { };
                second = bob.Lock.AcquireAsync("v2", "TagRelease", null, default);
            }
        };
        await RefusedAsync(other.Lock.AcquireAsync("v1", "TagRelease", null, default));
        Assert.That((await second!).How, Is.EqualTo(LockFound.Free));
        Assert.That((bob.Lock.IsHeld, other.Lock.IsHeld), Is.EqualTo((true, false)));
    }

    [Test]
    public async Task A_lock_that_others_keep_changing_is_given_up()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await PumpAsync(Alice.Lock.ReleaseAsync(default));
        _cluster.OnRequest = method =>
        {
            if (method == "PUT")
            {
                _cluster.Edit(lease => lease);
            }
        };
        var error = await RefusedAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default));
        Assert.That(error.Message, Does.Contain("changed 8 times"));
    }

    [Test]
    public async Task What_goes_wrong_for_a_while_does_not_keep_a_run_from_the_lock(
        [Values("GET", "POST", "PUT")] string method,
        [Values(Trouble.Reset, Trouble.LostAnswer, Trouble.Hang, Trouble.HangAfter, Trouble.Throttled, Trouble.ServerError, Trouble.Unavailable, Trouble.Page)] Trouble trouble,
        [Values(1, 3)] int times)
    {
        if (method == "PUT")
        {
            await HeldAsync("carol", "v0", "ArchiveArtefacts");
            await PumpAsync(Alice.Lock.ReleaseAsync(default));
        }

        var alice = New("alice");
        _cluster.Fail(method, trouble, times);
        var acquired = await PumpAsync(alice.Lock.AcquireAsync("v1", "TagRelease", null, default));
        Assert.That((acquired.How, alice.Lock.IsHeld), Is.EqualTo((LockFound.Free, true)));
        await RefusedAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default));
    }

    [Test]
    public async Task A_write_whose_answers_are_all_lost_is_found_by_reading_and_keeps_who_was_there_before()
    {
        await HeldAsync("alice", "v0", "FlipDns");
        var bob = New("bob");
        _cluster.Fail("PUT", Trouble.LostAnswer, 4);
        var acquired = await PumpAsync(bob.Lock.AcquireAsync("v1", "TagRelease", "she is on leave", default));
        Assert.That((acquired.How, acquired.PreviousHolder, bob.Lock.IsHeld), Is.EqualTo((LockFound.Broken, "alice@host/run-alice", true)));
    }

    [TestCase("GET", Trouble.Reset)]
    [TestCase("GET", Trouble.Hang)]
    [TestCase("GET", Trouble.Page)]
    [TestCase("POST", Trouble.ServerError)]
    [TestCase("POST", Trouble.Hang)]
    public async Task A_cluster_that_never_answers_is_a_clear_error_in_bounded_time(string method, Trouble trouble)
    {
        _cluster.Fail(method, trouble, int.MaxValue);
        var began = _world.GetTimestamp();
        var error = await FailedAsync(New("alice").Lock.AcquireAsync("v1", "TagRelease", null, default));
        Assert.That(error.Message, Does.StartWith("The lock is out of reach. The cluster").And.Contain($"{method} /apis/coordination.k8s.io/v1/namespaces/aether-rollout/leases"));
        Assert.That(error.ExitCode, Is.EqualTo(ExitCode.Failed));
        Assert.That(_world.GetElapsedTime(began), Is.LessThan(TimeSpan.FromMinutes(2)));
    }

    [Test]
    public async Task A_user_without_the_right_is_told_which_and_nothing_is_tried_again()
    {
        _cluster.Fail("GET", Trouble.Forbidden, int.MaxValue);
        var error = await FailedAsync(New("alice").Lock.AcquireAsync("v1", "TagRelease", null, default));
        Assert.That(error.Message, Does.Contain("403").And.Contain("User \"ci\" cannot get"));
        Assert.That(error.Hint, Does.Contain("get, create and update Leases"));
        Assert.That(_cluster.Requests, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task What_others_wrote_into_the_Lease_stays()
    {
        _cluster.Edit(_ => JsonNode.Parse("""{"metadata":{"annotations":{"team.example/owner":"sre"},"labels":{"a":"b"}},"spec":{"preferredHolder":"x"}}""")!.AsObject());
        await HeldAsync("alice", "v1", "FlipDns");
        await PassAsync(Duration);
        Assert.That(_cluster.Annotation("team.example/owner"), Is.EqualTo("sre"));
        Assert.That((_cluster.Stored!["metadata"]!["labels"]!["a"]!.GetValue<string>(), _cluster.Stored["spec"]!["preferredHolder"]!.GetValue<string>()), Is.EqualTo(("b", "x")));
    }

    [TestCase("{}")]
    [TestCase("""{"spec":null}""")]
    [TestCase("""{"spec":"text","metadata":{"annotations":[1]}}""")]
    [TestCase("""{"spec":{"holderIdentity":""}}""")]
    [TestCase("""{"spec":{"holderIdentity":17,"leaseTransitions":"many"}}""")]
    public async Task A_Lease_without_a_holder_is_free_whatever_else_it_says(string lease)
    {
        _cluster.Edit(_ => JsonNode.Parse(lease)!.AsObject());
        var alice = New("alice");
        Assert.That((await PumpAsync(alice.Lock.AcquireAsync("v1", "TagRelease", null, default))).How, Is.EqualTo(LockFound.Free));
        await PumpAsync(alice.Lock.RequireAsync(default));
    }

    [TestCase("""{"spec":{"holderIdentity":"somebody"}}""")]
    [TestCase("""{"spec":{"holderIdentity":"a/b/c","renewTime":"yesterday","leaseDurationSeconds":-3}}""")]
    [TestCase("""{"spec":{"holderIdentity":"somebody","renewTime":42,"leaseDurationSeconds":"long"}}""")]
    [TestCase("""{"spec":{"holderIdentity":"somebody","renewTime":"0001-01-01T00:00:00.000000Z"}}""")]
    [TestCase("""{"spec":{"holderIdentity":"somebody","renewTime":"9999-12-31T23:59:59.000000Z","leaseDurationSeconds":1}}""")]
    [TestCase("""{"spec":{"holderIdentity":"somebody"},"metadata":{"annotations":{"aether.io/process":"garbage","aether.io/step":7}}}""")]
    public async Task A_holder_that_says_nothing_of_use_is_watched_before_it_is_replaced(string lease)
    {
        _cluster.Edit(_ => JsonNode.Parse(lease)!.AsObject());
        var taking = New("alice").Lock.AcquireAsync("v1", "TagRelease", null, default);
        Assert.That(taking.IsCompleted, Is.False, "it was taken without a look");
        Assert.That((await PumpAsync(taking)).How, Is.EqualTo(LockFound.Expired));
    }

    [Test]
    public async Task A_Lease_that_claims_to_hold_for_days_is_refused_and_not_waited_for()
    {
        _cluster.Edit(_ => JsonNode.Parse("""{"spec":{"holderIdentity":"somebody","leaseDurationSeconds":2147483647}}""")!.AsObject());
        var error = await RefusedAsync(New("alice").Lock.AcquireAsync("v1", "TagRelease", null, default));
        Assert.That(error.Message, Does.Contain("somebody holds it without saying for which release").And.Contain("without a renewal").And.Contain("not waited for"));
        Assert.That(error.Hint, Does.Contain("--break-lock=REASON"));
        Assert.That((await New("bob").Lock.AcquireAsync("v1", "TagRelease", "nobody knows it", default)).How, Is.EqualTo(LockFound.Broken));
    }

    [Test]
    public async Task The_lock_is_renewed_for_as_long_as_the_run_takes()
    {
        await HeldAsync("alice", "v1", "MonitorTraffic");
        for (var minute = 0; minute < 5; minute++)
        {
            await PassAsync(TimeSpan.FromMinutes(1));
            await RefusedAsync(New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default));
            await Alice.Lock.RequireAsync(default);
        }

        Assert.That((Alice.Lock.IsHeld, Alice.Lock.Lost.IsCancellationRequested), Is.EqualTo((true, false)));
    }

    [TestCase(Trouble.Reset)]
    [TestCase(Trouble.LostAnswer)]
    [TestCase(Trouble.Hang)]
    [TestCase(Trouble.HangAfter)]
    [TestCase(Trouble.ServerError)]
    [TestCase(Trouble.Forbidden)]
    public async Task A_renewal_that_fails_is_tried_again_in_time(Trouble trouble)
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Trouble = method => method == "PUT" ? trouble : Trouble.None;
        await PassAsync(TimeSpan.FromSeconds(9));
        _cluster.Trouble = _ => Trouble.None;
        await PassAsync(TimeSpan.FromSeconds(30));
        Assert.That((Alice.Lock.IsHeld, Alice.Lock.Lost.IsCancellationRequested), Is.EqualTo((true, false)));
    }

    [TestCase(Trouble.Reset)]
    [TestCase(Trouble.Hang)]
    [TestCase(Trouble.HangAfter)]
    [TestCase(Trouble.Forbidden)]
    public async Task A_lock_that_cannot_be_renewed_is_lost_when_its_time_is_over_and_stays_lost(Trouble trouble)
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Trouble = _ => trouble;
        await PassAsync(Duration - Tick);
        Assert.That(Alice.Lock.Lost.IsCancellationRequested, Is.False, "it still holds");
        await PassAsync(2 * Tick);
        Assert.That((Alice.Lock.Lost.IsCancellationRequested, Alice.Lock.IsHeld), Is.EqualTo((true, false)));
        Assert.That(Alice.Progress.Lines, trouble is Trouble.Hang or Trouble.HangAfter ? Is.Not.Null : Has.Some.Contains("the lock could not be renewed, and holds for another"));
        _cluster.Trouble = _ => Trouble.None;
        await PassAsync(Duration);
        var requests = _cluster.Writes;
        var error = await RefusedAsync(Alice.Lock.RequireAsync(default));
        Assert.That(error.Message, Does.Contain("renewed last at 12:00:00 UTC").And.Contain("holds for 15 s"));
        await RefusedAsync(Alice.Lock.AtAsync("MonitorTraffic", default));
        await RefusedAsync(Alice.Lock.AcquireAsync("v1", "ReenableSafeMode", "let me", default));
        await Alice.Lock.ReleaseAsync(default);
        await RefusedAsync(Alice.Lock.RequireAsync(default));
        Assert.That(_cluster.Writes, Is.EqualTo(requests), "a run that lost the lock was to write nothing");
    }

    [Test]
    public async Task A_machine_that_slept_past_its_time_does_nothing_more_although_its_own_clock_stood_still()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        Alice.Time.Sleep(TimeSpan.FromHours(1));
        var writes = _cluster.Writes;
        var error = await RefusedAsync(Alice.Lock.RequireAsync(default));
        Assert.That(error.Message, Does.Contain("1 h 0 min ago"));
        await PassAsync(Duration);
        Assert.That((_cluster.Writes, Alice.Lock.Lost.IsCancellationRequested), Is.EqualTo((writes, true)));
    }

    [Test]
    public async Task A_machine_that_slept_finds_out_by_itself_too()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        Alice.Time.Sleep(TimeSpan.FromHours(1));
        var writes = _cluster.Writes;
        await PassAsync(Duration / 3 + Tick);
        Assert.That((_cluster.Writes, Alice.Lock.Lost.IsCancellationRequested), Is.EqualTo((writes, true)));
    }

    [Test]
    public async Task A_holder_that_was_stopped_past_its_time_cannot_begin_an_effect_and_is_told_who_has_the_lock_now()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await PumpAsync(Alice.Lock.RequireAsync(default));

        Alice.Time.Stop(TimeSpan.FromMinutes(1));
        await New("bob").Lock.AcquireAsync("v1", "FlipDns", "it hangs", default);
        var error = await RefusedAsync(Alice.Lock.RequireAsync(default));
        Assert.That(error.Message, Does.Contain("it was renewed last at 12:00:00 UTC, 1 min 0 s ago, and holds for 15 s; bob@host (run run-bob) rolls out v1"));
    }

    [Test]
    public async Task A_holder_that_is_stopped_while_the_fence_reads_does_not_pass_it()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _world.Advance(Tick);
        _cluster.OnRequest = method => Alice.Time.Stop(TimeSpan.FromMinutes(1));
        await RefusedAsync(Alice.Lock.RequireAsync(default));
    }

    [Test]
    public async Task A_hold_counts_from_the_sending_of_the_renewal_and_not_from_its_answer()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.OnRequest = method =>
        {
            // Another run may have begun to watch as soon as the server had this.
            Alice.Time.Stop(method == "PUT" ? TimeSpan.FromSeconds(14) : TimeSpan.Zero);
        };
        await Alice.Lock.AtAsync("MonitorTraffic", default);
        _cluster.OnRequest = _ => { };
        Assert.That(Alice.Lock.IsHeld, Is.True);
        Alice.Time.Stop(TimeSpan.FromSeconds(1));
        Assert.That(Alice.Lock.IsHeld, Is.False);
    }

    [Test]
    public async Task A_lock_whose_taking_took_longer_than_it_holds_is_taken_once_more()
    {
        var alice = New("alice");
        _cluster.OnRequest = method =>
        {
            if (method == "POST")
            {
                alice.Time.Stop(TimeSpan.FromMinutes(1));
            }
        };
        await PumpAsync(alice.Lock.AcquireAsync("v1", "FlipDns", null, default));
        Assert.That((alice.Lock.IsHeld, _cluster.Writes), Is.EqualTo((true, 2)));
    }

    [Test]
    public async Task A_holder_that_was_stopped_for_a_moment_goes_on()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        Alice.Time.Stop(Duration - TimeSpan.FromSeconds(6));
        await PumpAsync(Alice.Lock.RequireAsync(default));
        await PassAsync(Duration);
        Assert.That(Alice.Lock.IsHeld, Is.True);
    }

    [Test]
    public async Task A_lock_taken_by_another_is_noticed_in_the_background()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await New("bob").Lock.AcquireAsync("v2", "TagRelease", "told to", default);
        await PassAsync(Duration / 3 + Tick);
        Assert.That(Alice.Lock.Lost.IsCancellationRequested, Is.True);
        Assert.That(_cluster.Stored!["spec"]!["holderIdentity"]!.GetValue<string>(), Is.EqualTo("bob@host/run-bob"));
    }

    [Test]
    public async Task Runs_of_the_same_name_are_told_apart()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await RefusedAsync(New("alice").Lock.AcquireAsync("v1", "FlipDns", null, default));
        await New("alice").Lock.AcquireAsync("v1", "FlipDns", "a copied container", default);
        _world.Advance(Tick);
        await RefusedAsync(Alice.Lock.RequireAsync(default));
    }

    [Test]
    public async Task A_Lease_that_somebody_deleted_or_emptied_is_lost_and_not_made_again([Values] bool deleted)
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Edit(lease =>
        {
            lease!["spec"]!.AsObject().Remove("holderIdentity");
            return deleted ? null : lease;
        });
        _world.Advance(Tick);
        var error = await RefusedAsync(Alice.Lock.RequireAsync(default));
        Assert.That(error.Message, Does.Contain(deleted ? "the Lease was deleted" : "somebody emptied the Lease"));
        await PassAsync(Duration);
        Assert.That(_cluster.Stored?["spec"]?["holderIdentity"], Is.Null);
    }

    [Test]
    public async Task A_Lease_that_was_only_annotated_stays_the_holders()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Edit(lease =>
        {
            lease!["metadata"]!["annotations"]!["team.example/note"] = "careful";
            return lease;
        });
        await PassAsync(Duration * 2);
        Assert.That((Alice.Lock.IsHeld, _cluster.Annotation("team.example/note")), Is.EqualTo((true, "careful")));
    }

    [Test]
    public async Task A_step_that_cannot_be_written_now_is_written_by_the_next_renewal()
    {
        await HeldAsync("alice", "v1", "FreezeWrites");
        _cluster.Trouble = method => method == "PUT" ? Trouble.ServerError : Trouble.None;
        await PumpAsync(Alice.Lock.AtAsync("FlipDns", default));
        Assert.That(_cluster.Annotation("aether.io/step"), Is.EqualTo("FreezeWrites"));
        _cluster.Trouble = _ => Trouble.None;
        await PassAsync(Duration / 3);
        Assert.That(_cluster.Annotation("aether.io/step"), Is.EqualTo("FlipDns"));
    }

    [Test]
    public async Task The_fence_asks_the_cluster_each_time_but_for_what_it_learnt_a_moment_ago()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        var before = _cluster.Requests.Count;
        await Alice.Lock.RequireAsync(default);
        Assert.That(_cluster.Requests, Has.Count.EqualTo(before), "it has just been written");
        for (var i = 1; i <= 3; i++)
        {
            _world.Advance(Tick);
            await Alice.Lock.RequireAsync(default);
            await Alice.Lock.RequireAsync(default);
            Assert.That(_cluster.Requests, Has.Count.EqualTo(before + i));
        }

        Alice.Time.Sleep(TimeSpan.FromSeconds(1));
        await Alice.Lock.RequireAsync(default);
        Assert.That(_cluster.Requests, Has.Count.EqualTo(before + 4), "by the wall clock a second has passed");
        Alice.Time.Skew -= TimeSpan.FromSeconds(10);
        await Alice.Lock.RequireAsync(default);
        Assert.That(_cluster.Requests, Has.Count.EqualTo(before + 5), "a clock that was set back proves nothing");
    }

    [TestCase(Trouble.Reset)]
    [TestCase(Trouble.Hang)]
    [TestCase(Trouble.Page)]
    [TestCase(Trouble.Forbidden)]
    public async Task A_Lease_that_cannot_be_read_does_not_stop_a_run_that_renewed_it_in_time(Trouble trouble)
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Trouble = method => method == "GET" ? trouble : Trouble.None;
        _world.Advance(Tick);
        await PumpAsync(Alice.Lock.RequireAsync(default));
        Assert.That(Alice.Progress.Lines, Has.Some.Contains("the lock cannot be read, and holds for another"));
    }

    [Test]
    public async Task A_fence_without_an_answer_does_not_outlast_the_lock()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Trouble = _ => Trouble.Hang;
        await PassAsync(Duration - TimeSpan.FromSeconds(1));
        await RefusedAsync(Alice.Lock.RequireAsync(default));
    }

    [Test]
    public async Task A_fence_without_a_lock_is_a_mistake_of_ours()
    {
        var alice = New("alice");
        Assert.That(() => alice.Lock.RequireAsync(default), Throws.InvalidOperationException);
        await alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        await alice.Lock.ReleaseAsync(default);
        Assert.That(() => alice.Lock.RequireAsync(default), Throws.InvalidOperationException);
    }

    [Test]
    public async Task A_fence_that_is_interrupted_says_so()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        _cluster.Trouble = _ => Trouble.Hang;
        _world.Advance(Tick);
        using var stop = new CancellationTokenSource();
        var fence = Alice.Lock.RequireAsync(stop.Token);
        await stop.CancelAsync();
        Assert.That(async () => await fence, Throws.InstanceOf<OperationCanceledException>());
    }

    [TestCase(Trouble.Reset)]
    [TestCase(Trouble.LostAnswer)]
    [TestCase(Trouble.Throttled)]
    [TestCase(Trouble.ServerError)]
    public async Task A_release_survives_what_goes_wrong_for_a_while(Trouble trouble)
    {
        await HeldAsync("alice", "v1", "ArchiveArtefacts");
        _cluster.Fail("PUT", trouble, 1);
        await PumpAsync(Alice.Lock.ReleaseAsync(default));
        Assert.That((_cluster.Stored!["spec"]!["holderIdentity"], Alice.Progress.Lines.Count), Is.EqualTo(((JsonNode?)null, 0)));
    }

    [TestCase(Trouble.Reset)]
    [TestCase(Trouble.Hang)]
    [TestCase(Trouble.Forbidden)]
    public async Task A_release_that_fails_is_told_and_fails_nothing(Trouble trouble)
    {
        await HeldAsync("alice", "v1", "ArchiveArtefacts");
        _cluster.Trouble = _ => trouble;
        var began = _world.GetTimestamp();
        await PumpAsync(Alice.Lock.ReleaseAsync(default));
        Assert.That(Alice.Progress.Lines, Has.Some.Contains("the lock could not be given back").And.Some.Contains("expires by itself within 15 s"));
        Assert.That(_world.GetElapsedTime(began), Is.LessThan(TimeSpan.FromMinutes(1)));
    }

    [Test]
    public async Task A_released_lock_is_not_renewed_nor_taken_from_whom_it_went_to()
    {
        await HeldAsync("alice", "v1", "ArchiveArtefacts");
        await Alice.Lock.ReleaseAsync(default);
        await New("bob").Lock.AcquireAsync("v2", "TagRelease", null, default);
        await Alice.Lock.ReleaseAsync(default);
        await PassAsync(Duration * 2);
        Assert.That(_cluster.Stored!["spec"]!["holderIdentity"]!.GetValue<string>(), Is.EqualTo("bob@host/run-bob"));
    }

    [Test]
    public async Task A_run_that_lost_the_lock_does_not_release_its_successors()
    {
        await HeldAsync("alice", "v1", "FlipDns");
        await New("bob").Lock.AcquireAsync("v2", "TagRelease", "told to", default);
        await PumpAsync(Alice.Lock.ReleaseAsync(default));
        Assert.That(_cluster.Stored!["spec"]!["holderIdentity"]!.GetValue<string>(), Is.EqualTo("bob@host/run-bob"));
    }

    [Test]
    public async Task Whoever_looks_sees_who_holds_the_lock()
    {
        using var http = new HttpClient(_cluster, disposeHandler: false) { BaseAddress = new Uri("http://cluster/") };
        using var here = new ProcDouble();
        Task<LockState?> Look(string proc) => RolloutLock.ReadAsync(http, "aether-rollout", _world, default, proc);
        Assert.That(await Look(here.Root), Is.Null, "there is no Lease");

        here.Be(100, 5000);
        New("alice", here);
        await Alice.Lock.AcquireAsync("v1", "FlipDns", null, default);
        await PassAsync(TimeSpan.FromSeconds(3));
        var seen = (await Look(here.Root))!;
        Assert.That((seen.Holder, seen.Run, seen.Release, seen.Step, seen.IsExpired, seen.IsDead), Is.EqualTo(("alice@host", "run-alice", "v1", "FlipDns", false, false)));
        Assert.That(seen.Describe(_world.GetUtcNow()), Is.EqualTo("alice@host (run run-alice) rolls out v1, at FlipDns since 3 s, last renewed 3 s ago"));

        await Alice.Lock.DisposeAsync();
        here.End(100);
        _world.Advance(TimeSpan.FromMinutes(1));
        seen = (await Look(here.Root))!;
        Assert.That((seen.IsExpired, seen.IsDead), Is.EqualTo((true, true)));
        using var there = new ProcDouble();
        Assert.That((await Look(there.Root))!.IsDead, Is.False, "from another machine it cannot be known");

        await New("bob", here).Lock.AcquireAsync("v1", "FlipDns", null, default);
        await _begun[^1].Lock.ReleaseAsync(default);
        Assert.That(await Look(here.Root), Is.Null, "it was released");
    }

    [Test]
    public async Task Over_real_connections_one_holds_it_renews_it_and_hands_it_on()
    {
        await using var server = await HttpDouble.StartAsync(seen =>
        {
            var (code, body) = _cluster.Answer(seen.Method, seen.Path, seen.Text);
            return new Reply(code, body);
        });
        using var http = server.Client();
        using var one = new ProcDouble();
        using var two = new ProcDouble();
        await using var alice = new RolloutLock(http, "aether-rollout", "alice@host", "1", TimeSpan.FromSeconds(3), TimeProvider.System, new Reports(), one.Root);
        await using var bob = new RolloutLock(http, "aether-rollout", "bob@host", "2", TimeSpan.FromSeconds(3), TimeProvider.System, new Reports(), two.Root);
        await alice.AcquireAsync("v1", "FlipDns", null, default);
        var first = _cluster.Stored!["spec"]!["renewTime"]!.GetValue<string>();
        await RefusedAsync(bob.AcquireAsync("v2", "TagRelease", null, default));
        await Waiting.UntilAsync(
            "a renewal",
            _ => Task.FromResult(_cluster.Stored!["spec"]!["renewTime"]!.GetValue<string>()),
            renewed => renewed != first,
            renewed => renewed,
            TimeSpan.FromSeconds(30),
            TimeSpan.FromMilliseconds(20),
            TimeProvider.System,
            new Reports(),
            default);
        await alice.RequireAsync(default);
        await alice.ReleaseAsync(default);
        Assert.That((await bob.AcquireAsync("v2", "TagRelease", null, default)).How, Is.EqualTo(LockFound.Free));
    }

    [Test]
    public async Task The_embedded_API_server_keeps_the_lock_as_the_double_does()
    {
        var world = await RehearsalWorld.SharedAsync();
        await using var cluster = await KubernetesCluster.ConnectAsync(
            RehearsalWorld.ToolPath("kubectl"), Path.Combine(world.Folder, "world", "kubeconfig"), null, TimeProvider.System, new Reports(), default);
        using var one = new ProcDouble();
        using var two = new ProcDouble();
        await using var alice = new RolloutLock(cluster.Http, "lock-test", "alice@host", "1", Duration, TimeProvider.System, new Reports(), one.Root);
        await using var bob = new RolloutLock(cluster.Http, "lock-test", "bob@host", "2", Duration, TimeProvider.System, new Reports(), two.Root);
        Assert.That(await RolloutLock.ReadAsync(cluster.Http, "lock-test", TimeProvider.System, default), Is.Null);
        Assert.That((await alice.AcquireAsync("v1", "FreezeWrites", null, default)).How, Is.EqualTo(LockFound.Free));
        await alice.AtAsync("FlipDns", default);
        var error = await Assert.ThrowsAsync<RolloutException>(() => bob.AcquireAsync("v2", "TagRelease", null, default));
        Assert.That(error!.Message, Does.Contain("alice@host (run 1) rolls out v1, at FlipDns since 0 s"));
        Assert.That((await bob.AcquireAsync("v2", "TagRelease", "the test says so", default)).How, Is.EqualTo(LockFound.Broken));
        error = await Assert.ThrowsAsync<RolloutException>(() => alice.AtAsync("MonitorTraffic", default));
        Assert.That(error!.Message, Does.Contain("bob@host (run 2) rolls out v2"));
        await bob.ReleaseAsync(default);
        Assert.That(await RolloutLock.ReadAsync(cluster.Http, "lock-test", TimeProvider.System, default), Is.Null);
    }

    [Test]
    public void Of_two_contenders_at_most_one_believes_it_holds_the_lock_whatever_the_network_does()
    {
        var (taken, changes) = (0, 0);
        var script = Gen.ListOf(Gen.Zip(Gen.Choose(0, 99), Gen.Choose(0, 9)), 200).ToArbitrary();
        var skews = Gen.Zip(Gen.Elements(-300, -20, 0, 20, 300), Gen.Choose(0, 1)).ToArbitrary();
        Prop.ForAll(script, skews, (steps, skew) =>
        {
            var (found, took, changed) = Interleaving.RunAsync([.. steps], TimeSpan.FromSeconds(skew.Item1), Duration).GetAwaiter().GetResult();
            (taken, changes) = (taken + took, changes + changed);
            return found is null;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60));

        TestContext.Out.WriteLine($"taken {taken} times, {changes} times by the other");

        // Without these the property would hold for want of contention.
        Assert.That(taken, Is.GreaterThan(50), "hardly anybody ever took the lock");
        Assert.That(changes, Is.GreaterThan(10), "hardly ever did the lock go from one to the other");
    }

    /// <summary>The contender that a test began with.</summary>
    private Contender Alice => _begun[0];

    private Contender New(string name, ProcDouble? proc = null)
    {
        var contender = new Contender(_cluster, _world, name, Duration, proc);
        _begun.Add(contender);
        return contender;
    }

    private async Task HeldAsync(string name, string release, string step)
    {
        New(name);
        await PumpAsync(Alice.Lock.AcquireAsync(release, step, null, default));
    }

    private async Task PassAsync(TimeSpan span)
    {
        for (var passed = TimeSpan.Zero; passed < span; passed += Tick)
        {
            _world.Advance(Tick);
            await Settling.SettleAsync();
        }
    }

    private async Task PumpAsync(Task task)
    {
        for (var i = 0; i < 6000 && !task.IsCompleted; i++)
        {
            await Settling.SettleAsync();
            if (!task.IsCompleted)
            {
                _world.Advance(Tick);
                await Settling.SettleAsync();
            }
        }

        Assert.That(task.IsCompleted, Is.True, "ten minutes were not enough");
        await task;
    }

    private async Task<T> PumpAsync<T>(Task<T> task)
    {
        await PumpAsync((Task)task);
        return await task;
    }

    private async Task<RolloutException> FailedAsync(Task task)
    {
        var error = await Assert.ThrowsAsync<RolloutException>(() => PumpAsync(task));
        return error!;
    }

    private async Task<RolloutException> RefusedAsync(Task task)
    {
        var error = await FailedAsync(task);
        Assert.That(error.ExitCode, Is.EqualTo(ExitCode.Refused), error.Message);
        return error;
    }
}
