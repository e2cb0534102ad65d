using Cake.Core;
using Cake.Frosting;
using Cake.Tests.Support;

namespace Cake.Tests.Frosting;

/// <summary>The order tasks run in, and what is wrong with a graph.</summary>
public sealed class DependencyTests
{
    [Test]
    public void Dependencies_run_first_and_deep_in_the_order_of_the_attributes_each_once()
    {
        var run = new Build().With<Top>().With<Left>().With<Right>().With<Bottom>().Run("--target=Top");

        Assert.That(run.Trace, Is.EqualTo(new[] { "Bottom", "Right", "Left", "Top" }), run.Said);
    }

    [Test]
    public void A_dependee_attribute_adds_the_task_to_the_others_dependencies()
    {
        var run = new Build().With<Bottom>().With<BeforeBottom>().Run("--target=Bottom");

        Assert.That(run.Trace, Is.EqualTo(new[] { "BeforeBottom", "Bottom" }), run.Said);
    }

    [Test]
    public void Exclusive_runs_the_named_targets_without_dependencies()
    {
        var build = new Build().With<Top>().With<Left>().With<Right>().With<Bottom>();

        Assert.That(build.Run("--target=Top", "--exclusive").Trace, Is.EqualTo(new[] { "Top" }));
    }

    [Test]
    public void Targets_run_one_after_another_in_the_order_of_the_command_line_and_shared_dependencies_again()
    {
        var run = new Build().With<Left>().With<Right>().With<Bottom>().With<Alone>().Run("-t", "Right", "-t", "Left", "-t", "Alone");

        Assert.That(run.Trace, Is.EqualTo(new[] { "Bottom", "Right", "Bottom", "Left", "Alone" }), run.Said);
    }

    [Test]
    public void The_first_target_that_fails_stops_the_rest()
    {
        var run = new Build().With<Fails>().With<Alone>().Run("-t", "Fails", "-t", "Alone");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Trace, Is.Empty);
    }

    [TestCase("--target=Alone")]
    [TestCase("--tree")]
    public void A_dependency_that_is_no_task_of_the_build_is_refused_whatever_the_target(string option)
    {
        var run = new Build().With<Left>().With<Alone>().Run(option);

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("Error: Task 'Left' is dependent on task 'Bottom' which does not exist.\n"));
        Assert.That(run.Trace, Is.Empty);
    }

    [TestCase("--target=Alone")]
    [TestCase("--tree")]
    public void A_dependee_that_is_no_task_of_the_build_is_refused_whatever_the_target(string option)
    {
        var run = new Build().With<BeforeBottom>().With<Alone>().Run(option);

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(
            run.Error,
            Is.EqualTo("Error: Task 'BeforeBottom' has specified that it's a dependency for task 'Bottom' which does not exist.\n"));
    }

    [Test]
    public void Description_builds_no_graph_and_notices_no_fault_in_it()
    {
        var run = new Build().With<Left>().Run("--description");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
    }

    [Test]
    public void A_dependency_that_is_no_task_class_is_refused()
    {
        var run = Build.Of<OnString>().Run("--target=OnString");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("Error: The dependency 'String' is not a valid task.\n"));
    }

    [Test]
    public void A_dependee_that_is_no_task_class_is_refused()
    {
        var run = Build.Of<OfString>().Run("--target=OfString");

        Assert.That(run.Error, Is.EqualTo("Error: The reverse dependency 'String' is not a valid task.\n"), run.Said);
    }

    [Test]
    public void A_task_that_depends_on_itself_is_refused()
    {
        var run = Build.Of<OnItself, Alone>().Run("--target=Alone");

        Assert.That(run.Error, Is.EqualTo("Error: Reflexive edges in graph are not allowed.\n"), run.Said);
    }

    [Test]
    public void A_circle_is_refused_only_when_the_target_reaches_it()
    {
        var build = Build.Of<Chicken, Egg, Hatching>().With<Alone>();

        var run = build.Run("--target=Alone");
        Assert.That(run.ExitCode, Is.Zero, run.Said);
        run = build.Run("--target=Egg");
        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("Error: Graph contains circular references.\n"));
    }

    [Test]
    public void Two_tasks_that_depend_on_each_other_are_refused_whatever_the_target()
    {
        var run = Build.Of<This, That, Alone>().Run("--target=Alone");

        Assert.That(run.Error, Does.StartWith("Error: Unidirectional edges in graph are not allowed.\n"), run.Said);
    }

    [Test]
    public void An_unknown_target_is_refused()
    {
        var run = Build.Of<Alone>().Run("--target=Nope");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("Error: The target 'Nope' was not found.\n"));
    }

    private abstract class Noted(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add(GetType().Name);
    }

    [IsDependentOn(typeof(Right))]
    [IsDependentOn(typeof(Left))]
    private sealed class Top(Trace trace) : Noted(trace);

    [IsDependentOn(typeof(Bottom))]
    private sealed class Left(Trace trace) : Noted(trace);

    [IsDependentOn(typeof(Bottom))]
    private sealed class Right(Trace trace) : Noted(trace);

    private sealed class Bottom(Trace trace) : Noted(trace);

    [IsDependeeOf(typeof(Bottom))]
    private sealed class BeforeBottom(Trace trace) : Noted(trace);

    private sealed class Alone(Trace trace) : Noted(trace);

    private sealed class Fails : FrostingTask
    {
        public override void Run(ICakeContext context) => throw new InvalidOperationException("failed");
    }

    [IsDependentOn(typeof(string))]
    private sealed class OnString : FrostingTask;

    [IsDependeeOf(typeof(string))]
    private sealed class OfString : FrostingTask;

    [IsDependentOn(typeof(OnItself))]
    private sealed class OnItself : FrostingTask;

    [IsDependentOn(typeof(Egg))]
    private sealed class Chicken : FrostingTask;

    [IsDependentOn(typeof(Hatching))]
    private sealed class Egg : FrostingTask;

    [IsDependentOn(typeof(Chicken))]
    private sealed class Hatching : FrostingTask;

    [IsDependentOn(typeof(That))]
    private sealed class This : FrostingTask;

    [IsDependentOn(typeof(This))]
    private sealed class That : FrostingTask;
}
