using System.Diagnostics;
using Rollout.Playbook;
using Rollout.Tests.Support;

namespace Rollout.Tests.Playbook;

/// <summary>
/// The five tests that every step has. The fixtures run in the playbook's order and share one world, so that the tour is walked once; a
/// fixture that runs alone walks up to its step first.
/// </summary>
[NonParallelizable]
public abstract class StepTests(string step)
{
    /// <summary>A release that no test begins.</summary>
    private const string Untouched = "v2026.11.8";

    protected RehearsalWorld World { get; private set; } = null!;

    protected string Step => step;

    protected string Number => Instance.Number;

    private PlaybookStep Instance => (PlaybookStep)Activator.CreateInstance(typeof(PlaybookStep).Assembly.GetType($"Rollout.Playbook.{step}")!)!;

    [OneTimeSetUp]
    public async Task Stand_before_the_step()
    {
        World = await RehearsalWorld.SharedAsync();
        await World.ClearFaultsAsync();
        var missing = PlaybookOrder.Before(step).Except(PlaybookOrder.IsBackward(step) ? [] : await World.DoneAsync()).ToList();
        if (PlaybookOrder.IsBackward(step))
        {
            // The rollback's tests follow a whole rollout.
            missing = [.. PlaybookOrder.Forward.Except(await World.DoneAsync())];
            if (World.Journal().Any(e => PlaybookOrder.IsBackward(e["step"]!.GetValue<string>())))
            {
                missing = [];
            }
        }

        foreach (var before in missing)
        {
            var walked = await World.RunAsync($"--target={before}", "--exclusive");
            Assert.That(walked.ExitCode, Is.Zero, () => $"cannot stand before {step}: {walked.Everything}");
        }
    }

    [TearDown]
    public Task End_misbehaviour() => World.ClearFaultsAsync();

    [Test, Order(1)]
    public virtual async Task Refuses_without_its_precondition()
    {
        var refused = await World.CallAsync($"--target={step}", "--exclusive", $"--release={Untouched}");
        Assert.Multiple(() =>
        {
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Refused), refused.Everything);
            Assert.That(refused.Error, Does.Contain(RefusalSays), refused.Everything);
            Assert.That(refused.Error, Does.Contain("Nothing was changed"), refused.Everything);
        });
    }

    [Test, Order(2)]
    public async Task Fails_in_words_when_the_world_misbehaves() => await MisbehaveAsync();

    [Test, Order(3)]
    public async Task Stops_on_cancel_and_can_be_resumed()
    {
        var clock = Stopwatch.StartNew();
        var stopped = await World.InterruptAsync($"{Number} ", $"--target={step}", "--exclusive");
        Assert.Multiple(() =>
        {
            Assert.That(stopped.ExitCode, Is.EqualTo((int)ExitCode.Interrupted), stopped.Everything);
            Assert.That(stopped.Error, Does.Contain("The same command resumes"), stopped.Everything);
            Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(20)), "an interrupt must not wait for the step's end");
        });
    }

    [Test, Order(4)]
    public async Task Does_it()
    {
        var done = await World.RunAsync($"--target={step}", "--exclusive");
        Assert.That(done.ExitCode, Is.Zero, () => done.Everything);
        Assert.That(await World.DoneAsync(), Does.Contain(step));
        await SeeAsync(done);
    }

    [Test, Order(5)]
    public async Task Repeats_harmlessly()
    {
        var before = World.Journal().Count(e => e["event"]!.GetValue<string>() == "intent");
        var again = await World.RunAsync($"--target={step}", "--exclusive");
        Assert.Multiple(() =>
        {
            Assert.That(again.ExitCode, Is.Zero, again.Everything);
            Assert.That(World.Journal().Count(e => e["event"]!.GetValue<string>() == "intent"), Is.EqualTo(before + IntentsOfARepetition), again.Everything);
        });
    }

    /// <summary>What the refusal names: the first step that is missing.</summary>
    protected virtual string RefusalSays => nameof(TagRelease);

    /// <summary>How many intents a second run journals: none, but for a step that acts on every call.</summary>
    protected virtual int IntentsOfARepetition => 0;

    /// <summary>Misbehaves in the way that concerns this step, and asserts words and state.</summary>
    protected abstract Task MisbehaveAsync();

    /// <summary>Looks at the world after the step, not at what the step says.</summary>
    protected abstract Task SeeAsync(CallResult done);

    /// <summary>Runs the step, which must fail with this exit code and these words, without rolling back.</summary>
    protected async Task<CallResult> FailsAsync(ExitCode code, string says, params string[] arguments)
    {
        var failed = await World.RunAsync([$"--target={step}", "--exclusive", "--rollback=hold", .. arguments]);
        Assert.Multiple(() =>
        {
            Assert.That(failed.ExitCode, Is.EqualTo((int)code), failed.Everything);
            Assert.That(failed.Error + failed.Output, Does.Contain(says), failed.Everything);
        });
        Assert.That(await World.DoneAsync(), Does.Not.Contain(step), "a step that failed is not done");
        return failed;
    }
}
