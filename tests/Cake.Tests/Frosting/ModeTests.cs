using Cake.Core;
using Cake.Core.Diagnostics;
using Cake.Frosting;
using Cake.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Tests.Frosting;

/// <summary>What the modes that run no task print, and what they run all the same.</summary>
public sealed class ModeTests
{
    [TestCase("--tree")]
    [TestCase("--showtree")]
    public void Tree_shows_tasks_nobody_depends_on_with_their_dependencies_below(string option)
    {
        var run = Whole().Run(option, "--target=Nope");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Output, Is.EqualTo("\nDefault\n├─B\n│ └─A\n└─A\n\nalone\n\nZ\n\n"));
        Assert.That(run.Trace, Is.EqualTo(new[] { "A made" }), "the tree makes the tasks but runs none");
    }

    [Test]
    public void Tree_does_not_draw_dependees_nor_circles()
    {
        var run = Build.Of<A, BeforeA>().With<This>().With<That>().With<Other>().Run("--tree");

        Assert.That(run.Output, Is.EqualTo("\nA\n\n"), run.Said);
    }

    [TestCase("--description")]
    [TestCase("--descriptions")]
    [TestCase("--showdescription")]
    [TestCase("--showdescriptions")]
    public void Description_lists_every_task_in_the_order_of_registration(string option)
    {
        var run = Whole().Run(option);

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Output, Does.Match(@"(?s)Task +Description.*A +the first +\n.*B .*Default .*Z .*alone "));
    }

    [TestCase("--dryrun")]
    [TestCase("--dryrun=true")]
    [TestCase("--noop")]
    [TestCase("--whatif")]
    public void A_dry_run_names_the_tasks_and_does_not_run_them(string option)
    {
        var run = Whole().Run(option);

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(
            run.Output,
            Is.EqualTo("Performing dry run...\nTargets are: Default\n\n1. A\n2. B\n3. Default\n\n"
                + "This was a dry run.\nNo tasks were actually executed.\n"));
        Assert.That(run.Trace, Is.EqualTo(new[] { "A made", "A should run?" }));
    }

    [Test]
    public void A_dry_run_runs_setup_and_teardown_but_not_those_of_tasks()
    {
        var run = Whole().Host(host => host.UseLifetime<Lifetime>().UseTaskLifetime<TaskLifetime>()).Run("--dryrun");

        Assert.That(run.Trace, Is.EqualTo(new[] { "A made", "setup", "A should run?", "teardown" }), run.Said);
    }

    [Test]
    public void The_setup_cannot_tell_a_dry_run_from_a_real_one()
    {
        var names = default(IEnumerable<string>);
        Whole()
            .Host(host => host.UseSetup<LooksAtArguments>())
            .Services(services => services.AddSingleton<Action<ICakeContext>>(context => names = context.Arguments.GetArguments().Keys))
            .Run("--dryrun");

        Assert.That(names, Is.EqualTo(new[] { "target" }));
    }

    [Test]
    public void A_dry_run_of_a_skipped_target_is_an_error()
    {
        var run = Build.Of<Never>().Run("--dryrun", "--target=Never");

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.StartWith("Error: Could not reach target 'Never'"));
    }

    [Test]
    public void A_dry_run_keeps_the_order_of_the_command_line_and_knows_exclusive()
    {
        var run = Whole().Run("--dryrun", "-t", "Z", "-t", "Default", "-e");

        Assert.That(run.Output, Does.Contain("Targets are: Z, Default\n\n1. Z\n2. Default\n"), run.Said);
    }

    [Test]
    public void Of_several_modes_dry_run_wins_then_tree()
    {
        Assert.That(Whole().Run("--description", "--tree", "--dryrun").Output, Does.StartWith("Performing dry run"));
        Assert.That(Whole().Run("--description", "--tree").Output, Does.StartWith("\nDefault\n"));
    }

    [Test]
    public void A_mode_that_is_switched_off_is_off()
    {
        Assert.That(Whole().Run("--tree=false", "--target=Z").Output, Does.Contain("Succeeded"));
    }

    [TestCase("--version")]
    [TestCase("--info")]
    [TestCase("--help")]
    public void Version_info_and_help_make_no_task(string option)
    {
        var run = Whole().Run(option);

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Trace, Is.Empty);
        Assert.That(run.Output, Is.Not.Empty);
    }

    [Test]
    public void Help_shows_usage_examples_and_options_with_their_defaults()
    {
        var run = new Build().Run("-h");

        Assert.That(run.Output, Does.Match("(?s)USAGE:.*EXAMPLES:.*--verbosity quiet\n.*--tree\n.*OPTIONS:.*DEFAULT"));
        Assert.That(run.Output, Does.Match("-t, --target <TARGET> +Default"));
        foreach (var option in "working verbosity description tree dryrun exclusive version info help".Split(' '))
        {
            Assert.That(run.Output, Does.Contain("--" + option));
        }
    }

    [Test]
    public void The_report_is_printed_even_when_quiet()
    {
        var run = Whole().Run("--verbosity=quiet");

        Assert.That(run.Output.Trim(), Does.StartWith("Task").And.Contain("Succeeded"), run.Said);
    }

    [TestCase("quiet", "error")]
    [TestCase("M", "error warning")]
    [TestCase("Normal", "error warning information")]
    [TestCase("v", "error warning information verbose")]
    [TestCase("diagnostic", "error warning information verbose debug")]
    public void Verbosity_decides_which_levels_are_shown(string verbosity, string expected)
    {
        var run = Build.Of<Talks>().Run("--target=Talks", "--verbosity", verbosity);

        var shown = (run.Error + run.Output).Split('\n').Where(line => line.StartsWith("says ", StringComparison.Ordinal));
        Assert.That(string.Join(' ', shown.Select(line => line["says ".Length..])), Is.EqualTo(expected), run.Said);
        Assert.That(run.Error, Is.EqualTo("says error\n"), "only errors go to standard error");
    }

    private static Build Whole() => new Build().With<A>().With<B>().With<Default>().With<Z>().With<Alone>();

    [TaskDescription("the first")]
    private sealed class A : FrostingTask
    {
        private readonly Trace _trace;

        public A(Trace trace)
        {
            _trace = trace;
            trace.Add("A made");
        }

        public override bool ShouldRun(ICakeContext context)
        {
            _trace.Add("A should run?");
            return true;
        }

        public override void Run(ICakeContext context) => _trace.Add("A runs");
    }

    [IsDependentOn(typeof(A))]
    private sealed class B : FrostingTask;

    [IsDependentOn(typeof(B))]
    [IsDependentOn(typeof(A))]
    private sealed class Default : FrostingTask;

    private sealed class Z : FrostingTask;

    [TaskName("alone")]
    private sealed class Alone : FrostingTask;

    [IsDependeeOf(typeof(A))]
    private sealed class BeforeA : FrostingTask;

    [IsDependentOn(typeof(That))]
    private sealed class This : FrostingTask;

    [IsDependentOn(typeof(Other))]
    private sealed class That : FrostingTask;

    [IsDependentOn(typeof(This))]
    private sealed class Other : FrostingTask;

    private sealed class Never : FrostingTask
    {
        public override bool ShouldRun(ICakeContext context) => false;
    }

    private sealed class Talks : FrostingTask
    {
        public override void Run(ICakeContext context)
        {
            context.Log.Error("says error");
            context.Log.Warning("says warning");
            context.Log.Information("says information");
            context.Log.Verbose("says verbose");
            context.Log.Debug("says debug");
        }
    }

    private sealed class LooksAtArguments(Action<ICakeContext> look) : FrostingSetup
    {
        public override void Setup(ICakeContext context, ISetupContext info) => look(context);
    }

    private sealed class Lifetime(Trace trace) : FrostingLifetime
    {
        public override void Setup(ICakeContext context, ISetupContext info) => trace.Add("setup");

        public override void Teardown(ICakeContext context, ITeardownContext info) => trace.Add("teardown");
    }

    private sealed class TaskLifetime(Trace trace) : FrostingTaskLifetime
    {
        public override void Setup(ICakeContext context, ITaskSetupContext info) => trace.Add("task setup");

        public override void Teardown(ICakeContext context, ITaskTeardownContext info) => trace.Add("task teardown");
    }
}
