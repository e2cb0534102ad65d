using Cake.Core;
using Cake.Frosting;
using Cake.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Tests.Frosting;

/// <summary>Skipped and failed tasks, what the rest of the run does then, and which exit code it has.</summary>
public sealed class FailureTests
{
    [Test]
    public void A_skipped_dependency_stops_nobody()
    {
        var run = Build.Of<Skipped, OnSkipped>().Host(host => host.UseTaskLifetime<TaskLifetime>()).Run("--target=OnSkipped");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Trace, Is.EqualTo(new[]
        {
            "setup Skipped", "teardown Skipped skipped=True successful=True ",
            "setup OnSkipped", "OnSkipped runs", "teardown OnSkipped skipped=False successful=True ",
        }));
        Assert.That(run.Output, Does.Match("Skipped +- +Skipped"));
    }

    [Test]
    public void A_skipped_target_is_an_error()
    {
        var run = Build.Of<Skipped>().Host(host => host.UseTaskLifetime<TaskLifetime>()).Run("--target=Skipped");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(
            run.Error,
            Is.EqualTo("Error: Could not reach target 'Skipped' since it was skipped due to a criteria: not today.\n"));
        Assert.That(run.Trace, Is.Empty);
    }

    [Test]
    public void A_skipped_target_without_a_reason_is_an_error_too()
    {
        Assert.That(
            Build.Of<SkippedSilently>().Run("--target=SkippedSilently").Error,
            Is.EqualTo("Error: Could not reach target 'SkippedSilently' since it was skipped due to a criteria.\n"));
    }

    [Test]
    public void The_reason_of_a_skip_is_in_the_verbose_log_and_in_the_report()
    {
        var run = Build.Of<Skipped, OnSkipped>().Run("--target=OnSkipped", "--verbosity=verbose");

        Assert.That(run.Output, Does.Contain("Skipping task: not today\n").And.Contain("Skip Reason"), run.Said);
    }

    [Test]
    public void A_criterion_that_throws_fails_the_run()
    {
        var run = Build.Of<CannotTell, OnCannotTell>().Host(host => host.UseTaskLifetime<TaskLifetime>()).Run("--target=OnCannotTell");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.EndWith("Error: cannot tell\n"));
        Assert.That(run.Trace, Is.Empty);
    }

    [Test]
    public void A_failure_is_logged_with_its_task_and_reported_and_the_rest_does_not_run()
    {
        var run = Build.Of<Failing, OnFailing>().Run("--target=OnFailing");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("An error occurred when executing task 'Failing'.\nError: went wrong\n"));
        Assert.That(run.Output, Does.Match("Failing +[0-9:.]+ +Failed"));
        Assert.That(run.Trace, Is.EqualTo(new[] { "finally" }));
    }

    [Test]
    public void At_diagnostic_verbosity_a_failure_shows_its_stack()
    {
        var run = Build.Of<Failing>().Run("--target=Failing", "--verbosity=diagnostic");

        Assert.That(run.Error, Does.Contain(nameof(InvalidOperationException)).And.Contain("FailureTests"), run.Said);
    }

    [Test]
    public void ContinueOnError_lets_the_run_go_on_and_succeed()
    {
        var run = Build.Of<Tolerated, OnTolerated>().Host(host => host.UseTeardown<NotedTeardown>()).Run("--target=OnTolerated");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Trace, Is.EqualTo(new[] { "OnTolerated runs", "teardown successful=True" }));
        Assert.That(run.Output, Does.Match("Tolerated +[0-9:.]+ +Failed"));
    }

    [Test]
    public void An_overridden_OnError_that_returns_swallows_the_failure()
    {
        var run = Build.Of<Swallowing, OnSwallowing>().Host(host => host.UseTaskLifetime<TaskLifetime>()).Run("--target=OnSwallowing");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Trace, Is.EqualTo(new[]
        {
            "setup Swallowing", "on error: went wrong", "finally", "teardown Swallowing skipped=False successful=False went wrong",
            "setup OnSwallowing", "OnSwallowing runs", "teardown OnSwallowing skipped=False successful=True ",
        }));
    }

    [Test]
    public void An_OnError_that_throws_fails_the_run_with_what_it_throws()
    {
        var run = Build.Of<Worsening>().Run("--target=Worsening");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.Contain("Error: went wrong\n").And.EndsWith("Error: got worse\n"));
    }

    [Test]
    public void A_Finally_that_throws_fails_the_run_and_loses_the_report()
    {
        var run = Build.Of<BadEnd>().Run("--target=BadEnd");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.EndWith("Error: bad end\n"));
        Assert.That(run.Output, Does.Not.Contain("Duration"));
    }

    [TestCase("cake", 42)]
    [TestCase("cake-plain", 1)]
    [TestCase("cake-zero", 1)]
    [TestCase("aggregate", 42)]
    [TestCase("nested-aggregate", 42)]
    [TestCase("aggregate-of-others", 1)]
    [TestCase("cause", 1)]
    [TestCase("other", 1)]
    public void The_CakeException_a_task_throws_decides_the_exit_code_and_a_cause_does_not(string what, int expected)
    {
        var run = Build.Of<Throwing>().Run("--target=Throwing", "--throw=" + what);

        Assert.That(run.ExitCode, Is.EqualTo(expected), run.Said);
    }

    [Test]
    public void The_CakeException_a_lifetime_throws_decides_the_exit_code_too()
    {
        Assert.That(Build.Of<Throwing>().Host(host => host.UseSetup<RefusingSetup>()).Run("--target=Throwing").ExitCode, Is.EqualTo(5));
        Assert.That(
            Build.Of<Swallowing>().Host(host => host.UseTeardown<RefusingTeardown>()).Run("--target=Swallowing").ExitCode,
            Is.EqualTo(6));
    }

    [Test]
    public void A_service_that_cannot_be_made_fails_the_run()
    {
        var run = Build.Of<NeedsMore>().Run("--target=NeedsMore");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.StartWith("Error: Unable to resolve service for type 'System.Version'"));
    }

    private sealed class Skipped(Trace trace) : FrostingTask, IFrostingTask
    {
        string IFrostingTask.SkippedMessage => "not today";

        public override bool ShouldRun(ICakeContext context) => false;

        public override void Run(ICakeContext context) => trace.Add("Skipped runs");

        public override void OnError(Exception exception, ICakeContext context) => trace.Add("Skipped on error");

        public override void Finally(ICakeContext context) => trace.Add("Skipped finally");
    }

    private sealed class SkippedSilently : FrostingTask
    {
        public override bool ShouldRun(ICakeContext context) => false;
    }

    private abstract class Noted(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add(GetType().Name + " runs");
    }

    [IsDependentOn(typeof(Skipped))]
    private sealed class OnSkipped(Trace trace) : Noted(trace);

    private sealed class CannotTell : FrostingTask
    {
        public override bool ShouldRun(ICakeContext context) => throw new InvalidOperationException("cannot tell");
    }

    [IsDependentOn(typeof(CannotTell))]
    private sealed class OnCannotTell(Trace trace) : Noted(trace);

    private sealed class Failing(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => throw new InvalidOperationException("went wrong");

        public override void Finally(ICakeContext context) => trace.Add("finally");
    }

    [IsDependentOn(typeof(Failing))]
    private sealed class OnFailing(Trace trace) : Noted(trace);

    [ContinueOnError]
    private sealed class Tolerated : FrostingTask
    {
        public override void Run(ICakeContext context) => throw new InvalidOperationException("went wrong");
    }

    [IsDependentOn(typeof(Tolerated))]
    private sealed class OnTolerated(Trace trace) : Noted(trace);

    private sealed class Swallowing(Trace trace) : AsyncFrostingTask
    {
        public override Task RunAsync(ICakeContext context) => throw new InvalidOperationException("went wrong");

        public override void OnError(Exception exception, ICakeContext context) => trace.Add("on error: " + exception.Message);

        public override void Finally(ICakeContext context) => trace.Add("finally");
    }

    [IsDependentOn(typeof(Swallowing))]
    private sealed class OnSwallowing(Trace trace) : Noted(trace);

    private sealed class Worsening : FrostingTask
    {
        public override void Run(ICakeContext context) => throw new InvalidOperationException("went wrong");

        public override void OnError(Exception exception, ICakeContext context) => throw new InvalidOperationException("got worse");
    }

    private sealed class BadEnd : FrostingTask
    {
        public override void Run(ICakeContext context)
        {
        }

        public override void Finally(ICakeContext context) => throw new InvalidOperationException("bad end");
    }

    private sealed class Throwing : AsyncFrostingTask
    {
        public override async Task RunAsync(ICakeContext context)
        {
            await Task.Yield();
            var held = new CakeException(42, "held");
            throw context.Arguments.GetArguments("throw").Single() switch
            {
                "cake" => held,
                "cake-plain" => new CakeException("held"),
                "cake-zero" => new CakeException(0, "held"),
                "aggregate" => new AggregateException(new InvalidOperationException("other"), held),
                "nested-aggregate" => new AggregateException(new AggregateException(held)),
                "aggregate-of-others" => new AggregateException(new InvalidOperationException("other")),
                "cause" => new InvalidOperationException("other", held),
                _ => new InvalidOperationException("other"),
            };
        }
    }

    private sealed class NeedsMore(Version version) : FrostingTask
    {
        public override void Run(ICakeContext context) => throw new InvalidOperationException(version.ToString());
    }

    private sealed class RefusingSetup : FrostingSetup
    {
        public override void Setup(ICakeContext context, ISetupContext info) => throw new CakeException(5, "refused");
    }

    private sealed class RefusingTeardown : FrostingTeardown
    {
        public override void Teardown(ICakeContext context, ITeardownContext info) => throw new CakeException(6, "refused");
    }

    private sealed class NotedTeardown(Trace trace) : FrostingTeardown
    {
        public override void Teardown(ICakeContext context, ITeardownContext info) => trace.Add($"teardown successful={info.Successful}");
    }

    private sealed class TaskLifetime(Trace trace) : FrostingTaskLifetime
    {
        public override void Setup(ICakeContext context, ITaskSetupContext info) => trace.Add($"setup {info.Task.Name}");

        public override void Teardown(ICakeContext context, ITaskTeardownContext info) =>
            trace.Add($"teardown {info.Task.Name} skipped={info.Skipped} successful={info.Successful} {info.ThrownException?.Message}");
    }
}
