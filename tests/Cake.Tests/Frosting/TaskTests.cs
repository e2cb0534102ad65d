using System.Reflection;
using Cake.Core;
using Cake.Core.Diagnostics;
using Cake.Frosting;
using Cake.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Tests.Frosting;

/// <summary>Which classes are tasks, what they are called, and what the host makes of their methods.</summary>
public sealed class TaskTests
{
    [Test]
    public void Public_and_nested_public_tasks_of_an_added_assembly_are_found_and_others_are_not()
    {
        var run = new Build().Host(host => host.AddAssembly(Assembly.GetExecutingAssembly())).Run("--tree");

        Assert.That(run.Output.Split('\n'), Has.Member("Nested").And.Member("Held").And.Member("Default"), run.Said);
        Assert.That(run.Output, Does.Not.Contain("Hidden").And.Not.Contain("Unfinished").And.Not.Contain(nameof(Plain)), run.Said);
    }

    [Test]
    public void An_assembly_added_twice_is_a_duplicate_name()
    {
        var assembly = Assembly.GetExecutingAssembly();
        var run = new Build().Host(host => host.AddAssembly(assembly).AddAssembly(assembly)).Run("--tree");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.Match("^Error: Another task with the name '.*' has already been added.\n$"));
    }

    [Test]
    public void A_task_is_called_like_its_class_whole_and_without_namespace()
    {
        var run = Build.Of<PlainTask>().Run("--target", "PlainTask");

        Assert.That(run.Trace, Is.EqualTo(new[] { "PlainTask" }), run.Said);
    }

    [Test]
    public void TaskName_replaces_the_class_name_and_case_does_not_matter()
    {
        var run = Build.Of<Renamed>().Run("--target=OTHER-name");

        Assert.That(run.Trace, Is.EqualTo(new[] { "Renamed" }), run.Said);
        Assert.That(Build.Of<Renamed>().Run("--target=Renamed").Error, Is.EqualTo("Error: The target 'Renamed' was not found.\n"));
    }

    [Test]
    public void Two_names_that_differ_by_case_only_are_refused()
    {
        var run = Build.Of<Plain, LowerPlain>().Run("--target=Plain");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo("Error: Another task with the name 'plain' has already been added.\n"));
    }

    [Test]
    public void Name_and_description_are_not_inherited()
    {
        var run = Build.Of<Renamed, DerivedFromRenamed>().Run("--description");

        Assert.That(run.Output, Does.Match("other-name +has another name"), run.Said);
        Assert.That(run.Output, Does.Match("DerivedFromRenamed +\n"), run.Said);
    }

    [Test]
    public void Dependencies_are_inherited()
    {
        var run = Build.Of<Plain, DerivedFromDependent>().Run("--target=DerivedFromDependent");

        Assert.That(run.Trace, Is.EqualTo(new[] { "Plain", "DerivedFromDependent" }), run.Said);
    }

    [Test]
    public void An_asynchronous_task_is_awaited_before_the_next_one_starts()
    {
        var run = Build.Of<Slow, AfterSlow>().Run("--target=AfterSlow");

        Assert.That(run.Trace, Is.EqualTo(new[] { "slow begins", "slow ends", "after slow" }), run.Said);
    }

    [Test]
    public void A_task_without_work_is_a_node_of_the_graph()
    {
        var run = Build.Of<Plain, Aggregate>().Run("--target=Aggregate");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Trace, Is.EqualTo(new[] { "Plain" }));
    }

    [Test]
    public void A_method_overridden_in_a_base_class_of_ones_own_counts()
    {
        var run = Build.Of<FromOwnBase>().Run("--target=FromOwnBase");

        Assert.That(run.Trace, Is.EqualTo(new[] { "own base ran FromOwnBase" }), run.Said);
    }

    [Test]
    public void A_task_for_another_context_is_left_out_with_a_warning()
    {
        var run = Build.Of<Plain, Foreign>().Run("--target=Plain");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(
            run.Output,
            Does.Contain($"Task cannot be used since the context isn't convertible to {typeof(OtherContext).FullName}.\n"));
        Assert.That(Build.Of<Foreign>().Run("--target=Foreign").Error, Is.EqualTo("Error: The target 'Foreign' was not found.\n"));
    }

    [Test]
    public void Behind_a_base_class_of_ones_own_another_context_shows_when_the_task_runs()
    {
        var run = Build.Of<ForeignBehindBase>().Run("--target=ForeignBehindBase");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.Contain("Error: Unable to cast object of type"));
    }

    [Test]
    public void A_class_that_is_only_the_interface_is_refused()
    {
        var run = Build.Of<Bare>().Run("--target=Bare");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(
            run.Error,
            Is.EqualTo("Error: This method expects all IFrostingTask to be instances of FrostingTask or AsyncFrostingTask.\n"));
    }

    [Test]
    public void Every_task_gets_the_one_context_of_the_build()
    {
        var run = Build.Of<UsesContext, UsesContextAgain>()
            .Host(host => host.UseContext<OtherContext>())
            .Run("--target=UsesContextAgain");

        Assert.That(run.Trace, Is.EqualTo(new[] { "context made", "1", "2" }), run.Said);
    }

    [Test]
    public void Tasks_take_services_of_the_engine_and_of_the_build()
    {
        var run = Build.Of<Injected>().Services(services => services.AddSingleton(new Version(1, 2))).Run("--target=Injected");

        Assert.That(run.Trace, Is.EqualTo(new[] { "1.2" }), run.Said);
        Assert.That(run.Output, Does.Contain("injected log\n"));
    }

    [Test]
    public void A_task_that_asks_for_all_tasks_is_a_circle()
    {
        var run = Build.Of<AsksForAll>().Run("--target=AsksForAll");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.StartWith("Error: A circular dependency was detected"));
    }

    private sealed class Plain(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("Plain");
    }

    private sealed class PlainTask(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("PlainTask");
    }

    [TaskName("plain")]
    private sealed class LowerPlain : FrostingTask;

    [TaskName("other-name")]
    [TaskDescription("has another name")]
    private class Renamed(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("Renamed");
    }

    private sealed class DerivedFromRenamed(Trace trace) : Renamed(trace);

    [IsDependentOn(typeof(Plain))]
    private abstract class Dependent : FrostingTask;

    private sealed class DerivedFromDependent(Trace trace) : Dependent
    {
        public override void Run(ICakeContext context) => trace.Add("DerivedFromDependent");
    }

    private sealed class Slow(Trace trace) : AsyncFrostingTask
    {
        public override async Task RunAsync(ICakeContext context)
        {
            trace.Add("slow begins");
            await Task.Yield();
            trace.Add("slow ends");
        }
    }

    [IsDependentOn(typeof(Slow))]
    private sealed class AfterSlow(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("after slow");
    }

    [IsDependentOn(typeof(Plain))]
    private sealed class Aggregate : FrostingTask;

    private abstract class OwnBase(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("own base ran " + GetType().Name);
    }

    private sealed class FromOwnBase(Trace trace) : OwnBase(trace);

    private sealed class OtherContext : FrostingContext
    {
        public OtherContext(ICakeContext context, Trace trace)
            : base(context) => trace.Add("context made");

        public int Count { get; set; }
    }

    private sealed class Foreign : FrostingTask<OtherContext>;

    private abstract class BaseForOther : FrostingTask<OtherContext>
    {
        public override void Run(OtherContext context) => context.Count++;
    }

    private sealed class ForeignBehindBase : BaseForOther;

    private sealed class UsesContext(Trace trace) : FrostingTask<OtherContext>
    {
        public override void Run(OtherContext context) => trace.Add($"{++context.Count}");
    }

    [IsDependentOn(typeof(UsesContext))]
    private sealed class UsesContextAgain(Trace trace) : AsyncFrostingTask<OtherContext>
    {
        public override Task RunAsync(OtherContext context)
        {
            trace.Add($"{++context.Count}");
            return Task.CompletedTask;
        }
    }

    private sealed class Injected(ICakeLog log, Version version, Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context)
        {
            log.Information("injected log");
            trace.Add(version.ToString());
        }
    }

    private sealed class AsksForAll(IEnumerable<IFrostingTask> tasks) : FrostingTask
    {
        public override void Run(ICakeContext context) => context.Log.Information("{0}", tasks.Count());
    }

    private sealed class Bare : IFrostingTask
    {
        public Task RunAsync(ICakeContext context) => Task.CompletedTask;

        public bool ShouldRun(ICakeContext context) => true;

        public void OnError(Exception exception, ICakeContext context)
        {
        }

        public void Finally(ICakeContext context)
        {
        }
    }
}
