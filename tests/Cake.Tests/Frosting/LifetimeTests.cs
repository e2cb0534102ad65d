using Cake.Core;
using Cake.Frosting;
using Cake.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Tests.Frosting;

/// <summary>What runs around the tasks, in which order, and what a failure there does.</summary>
public sealed class LifetimeTests
{
    [Test]
    public void Setup_tasks_between_their_own_setup_and_teardown_and_teardown_run_in_this_order()
    {
        var run = Whole().Run("--target=Second");

        Assert.That(run.Trace, Is.EqualTo(new[]
        {
            "setup Second: First, Second",
            "First should run?", "task setup First", "First runs", "First finally", "task teardown First skipped=False successful=True ",
            "task setup Second", "Second runs", "task teardown Second skipped=False successful=True ",
            "teardown successful=True ",
        }), run.Said);
    }

    [Test]
    public void Several_targets_share_one_setup_that_knows_the_first_of_them_and_one_teardown()
    {
        var run = Whole().Run("-t", "First", "-t", "Second", "--exclusive");

        Assert.That(
            run.Trace.Where(entry => entry.StartsWith("setup", StringComparison.Ordinal)),
            Is.EqualTo(new[] { "setup First: First" }));
        Assert.That(run.Trace.Count(entry => entry.StartsWith("teardown", StringComparison.Ordinal)), Is.EqualTo(1), run.Said);
    }

    [Test]
    public void All_of_them_get_the_one_context()
    {
        var seen = new HashSet<ICakeContext>();
        Build.Of<First>()
            .Services(services => services.AddSingleton(seen))
            .Host(host => host.UseLifetime<SeesContext>().UseTaskLifetime<SeesContextPerTask>())
            .Run("--target=First");

        Assert.That(seen, Has.Count.EqualTo(1));
        Assert.That(seen.Single(), Is.InstanceOf<FrostingContext>());
    }

    [Test]
    public void When_the_setup_fails_no_task_runs_but_the_teardown_does()
    {
        var run = Whole().Run("--target=Second", "--fail=setup");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.EndWith("Error: setup failed\n"));
        Assert.That(run.Trace, Is.EqualTo(new[] { "setup Second: First, Second", "teardown successful=False setup failed" }));
    }

    [Test]
    public void When_a_task_setup_fails_its_task_does_not_run_but_its_teardown_does_and_the_run_stops()
    {
        var run = Whole().Run("--target=Second", "--fail=task-setup");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Trace.Skip(1), Is.EqualTo(new[]
        {
            "First should run?", "task setup First", "task teardown First skipped=False successful=False task-setup failed",
            "teardown successful=False task-setup failed",
        }), run.Said);
    }

    [Test]
    public void When_a_task_teardown_fails_the_run_stops()
    {
        var run = Whole().Run("--target=Second", "--fail=task-teardown");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.Contain("An error occurred in the custom task teardown action (First).\n"));
        Assert.That(run.Trace, Has.None.Contains("Second runs"));
        Assert.That(run.Trace[^1], Does.StartWith("teardown successful=False"));
    }

    [Test]
    public void When_the_teardown_fails_after_success_the_run_fails()
    {
        var run = Whole().Run("--target=Second", "--fail=teardown");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.Contain("An error occurred in a custom teardown action.\n").And.EndsWith("Error: teardown failed\n"));
    }

    [Test]
    public void When_the_teardown_fails_after_a_failure_the_first_failure_stays_the_result()
    {
        var run = Whole().Run("--target=Second", "--fail=setup", "--fail=teardown");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.Contain("Teardown error: ").And.EndsWith("Error: setup failed\n"));
    }

    [Test]
    public void A_failure_reaches_task_teardown_and_teardown_as_it_was_thrown()
    {
        var run = Whole().Run("--target=Second", "--fail=First");

        Assert.That(run.Trace, Has.Member("task teardown First skipped=False successful=False First failed"), run.Said);
        Assert.That(run.Trace[^1], Is.EqualTo("teardown successful=False First failed"));
        Assert.That(run.Trace, Has.None.Contains("Second runs"));
    }

    [Test]
    public void The_task_teardown_knows_how_long_the_task_took()
    {
        var run = Build.Of<First>().Host(host => host.UseTaskTeardown<NotesDuration>()).Run("--target=First");

        Assert.That(run.Trace[^1], Is.EqualTo("took more than nothing: True"), run.Said);
    }

    [Test]
    public void A_later_setup_replaces_only_that_half_of_a_lifetime()
    {
        var run = Build.Of<First>().Host(host => host.UseLifetime<Lifetime>().UseSetup<OtherSetup>()).Run("--target=First");

        Assert.That(run.Trace[0], Is.EqualTo("other setup"), run.Said);
        Assert.That(run.Trace[^1], Is.EqualTo("teardown successful=True "));
    }

    [Test]
    public void A_later_teardown_and_later_halves_of_a_task_lifetime_replace_theirs()
    {
        var run = Build.Of<First>()
            .Host(host => host.UseLifetime<Lifetime>().UseTeardown<OtherTeardown>()
                .UseTaskLifetime<TaskLifetime>().UseTaskSetup<OtherTaskSetup>().UseTaskTeardown<OtherTaskTeardown>())
            .Run("--target=First");

        Assert.That(run.Trace, Is.EqualTo(new[]
        {
            "setup First: First",
            "First should run?", "other task setup", "First runs", "First finally", "other task teardown",
            "other teardown",
        }), run.Said);
    }

    private static Build Whole() =>
        Build.Of<First, Second>().Host(host => host.UseLifetime<Lifetime>().UseTaskLifetime<TaskLifetime>());

    private static void FailIf(ICakeContext context, string what)
    {
        if (context.Arguments.GetArguments("fail").Contains(what))
        {
            throw new InvalidOperationException(what + " failed");
        }
    }

    private sealed class First(Trace trace) : FrostingTask
    {
        public override bool ShouldRun(ICakeContext context)
        {
            trace.Add("First should run?");
            return true;
        }

        public override void Run(ICakeContext context)
        {
            trace.Add("First runs");
            FailIf(context, "First");
        }

        public override void Finally(ICakeContext context) => trace.Add("First finally");
    }

    [IsDependentOn(typeof(First))]
    private sealed class Second(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("Second runs");
    }

    private sealed class Lifetime(Trace trace) : FrostingLifetime
    {
        public override void Setup(ICakeContext context, ISetupContext info)
        {
            trace.Add($"setup {info.TargetTask.Name}: {string.Join(", ", info.TasksToExecute.Select(task => task.Name))}");
            FailIf(context, "setup");
        }

        public override void Teardown(ICakeContext context, ITeardownContext info)
        {
            trace.Add($"teardown successful={info.Successful} {info.ThrownException?.Message}");
            FailIf(context, "teardown");
        }
    }

    private sealed class TaskLifetime(Trace trace) : FrostingTaskLifetime
    {
        public override void Setup(ICakeContext context, ITaskSetupContext info)
        {
            trace.Add($"task setup {info.Task.Name}");
            FailIf(context, "task-setup");
        }

        public override void Teardown(ICakeContext context, ITaskTeardownContext info)
        {
            var failure = info.ThrownException?.Message;
            trace.Add($"task teardown {info.Task.Name} skipped={info.Skipped} successful={info.Successful} {failure}");
            FailIf(context, "task-teardown");
        }
    }

    private sealed class OtherSetup(Trace trace) : FrostingSetup
    {
        public override void Setup(ICakeContext context, ISetupContext info) => trace.Add("other setup");
    }

    private sealed class OtherTeardown(Trace trace) : FrostingTeardown
    {
        public override void Teardown(ICakeContext context, ITeardownContext info) => trace.Add("other teardown");
    }

    private sealed class OtherTaskSetup(Trace trace) : FrostingTaskSetup
    {
        public override void Setup(ICakeContext context, ITaskSetupContext info) => trace.Add("other task setup");
    }

    private sealed class OtherTaskTeardown(Trace trace) : FrostingTaskTeardown
    {
        public override void Teardown(ICakeContext context, ITaskTeardownContext info) => trace.Add("other task teardown");
    }

    private sealed class NotesDuration(Trace trace) : FrostingTaskTeardown
    {
        public override void Teardown(ICakeContext context, ITaskTeardownContext info) =>
            trace.Add($"took more than nothing: {info.Duration > TimeSpan.Zero}");
    }

    private sealed class SeesContext(HashSet<ICakeContext> seen) : FrostingLifetime
    {
        public override void Setup(ICakeContext context, ISetupContext info) => seen.Add(context);

        public override void Teardown(ICakeContext context, ITeardownContext info) => seen.Add(context);
    }

    private sealed class SeesContextPerTask(HashSet<ICakeContext> seen) : FrostingTaskLifetime
    {
        public override void Setup(ICakeContext context, ITaskSetupContext info) => seen.Add(context);

        public override void Teardown(ICakeContext context, ITaskTeardownContext info) => seen.Add(context);
    }
}
