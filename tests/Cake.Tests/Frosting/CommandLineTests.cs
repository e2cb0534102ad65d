using Cake.Common;
using Cake.Core;
using Cake.Core.IO;
using Cake.Frosting;
using Cake.Tests.Support;
using Path = System.IO.Path;

namespace Cake.Tests.Frosting;

/// <summary>Cake's own options, the errors of a command line, and the arguments a build reads.</summary>
public sealed class CommandLineTests
{
    [TestCase("--target", "Named")]
    [TestCase("--target=Named")]
    [TestCase("--target:Named")]
    [TestCase("--Target=Named")]
    [TestCase("-t", "Named")]
    [TestCase("-t=Named")]
    [TestCase("--target=named")]
    public void A_target_can_be_written_in_these_ways(params string[] args)
    {
        var run = Build.Of<Named>().Run(args);

        Assert.That(run.Trace, Is.EqualTo(new[] { "Named" }), run.Said);
    }

    [Test]
    public void Without_a_target_it_is_Default()
    {
        Assert.That(new Build().Run().Error, Is.EqualTo("Error: The target 'Default' was not found.\n"));
    }

    [Test]
    public void Option_names_are_case_sensitive_and_others_become_arguments()
    {
        var run = new Build().Doing(context => Assert.That(context.HasArgument("EXCLUSIVE"), Is.True)).Run("--EXCLUSIVE");

        Assert.That(run.ExitCode, Is.Zero, run.Said);
    }

    [Test]
    public void Short_options_can_be_joined()
    {
        Assert.That(Argument(context => context.HasArgument("x") && context.HasArgument("y"), "-xey"), Is.True);
        Assert.That(Build.Of<Named>().Run("-et", "Named").ExitCode, Is.EqualTo(-1), "one that takes a value cannot be among them");
    }

    [TestCase("Error: Unknown command 'Hello'.", "Hello")]
    [TestCase("Error: Option 'target' is defined but no value has been provided.", "--target")]
    [TestCase("Error: Expected an option value.", "--target=")]
    [TestCase("Error: Flags cannot be assigned a value.", "--version=1.2.3")]
    [TestCase("Error: Flags cannot be assigned a value.", "--ver=1")]
    [TestCase("Error: Flags cannot be assigned a value.", "--info=1")]
    [TestCase("Error: Failed to convert 'foo' to Verbosity.", "--verbosity=foo")]
    public void A_command_line_that_cannot_be_parsed_is_told_on_standard_output_and_exits_with_minus_one(string message, string arg)
    {
        var run = Build.Of<Named>().Run(arg);

        Assert.That(run.ExitCode, Is.EqualTo(-1), run.Said);
        Assert.That(run.Output.Trim(), Does.StartWith(message));
        Assert.That(run.Error, Is.Empty);
    }

    [TestCase("--some=value")]
    [TestCase("--some", "value")]
    [TestCase("--some:value")]
    [TestCase("--SOME=value")]
    [TestCase("--", "--some=value")]
    public void An_unknown_option_is_an_argument_of_the_build(params string[] args)
    {
        Assert.That(Argument(context => context.Argument<string>("some"), args), Is.EqualTo("value"));
    }

    [Test]
    public void A_reserved_name_reaches_the_build_behind_two_dashes()
    {
        Assert.That(Argument(context => context.Argument<string>("version"), "--", "--version=1.2.3"), Is.EqualTo("1.2.3"));
    }

    [Test]
    public void The_arguments_hold_the_targets_but_no_other_option_of_Cake()
    {
        var names = Argument(context => string.Join(',', context.Arguments().Keys.Order()), "--exclusive", "--verbosity=quiet", "--own=1");

        Assert.That(names, Is.EqualTo("own,target"));
        Assert.That(Argument(context => context.Argument<string>("target")), Is.EqualTo("Default"));
    }

    [Test]
    public void Of_a_repeated_argument_one_call_gives_the_last_value_and_another_gives_all()
    {
        Assert.That(Argument(context => context.Argument<int>("n"), "-n", "1", "-n", "2"), Is.EqualTo(2));
        Assert.That(Argument(context => context.Arguments<int>("n").ToArray(), "-n", "1", "-n", "2"), Is.EqualTo(new[] { 1, 2 }));
    }

    [Test]
    public void Values_are_converted_in_the_invariant_culture()
    {
        Assert.That(Argument(context => context.Argument<double>("value"), "--value=1.5"), Is.EqualTo(1.5));
        Assert.That(Argument(context => context.Argument<bool>("value"), "--value=true"), Is.True);
        Assert.That(Argument(context => context.Argument<DayOfWeek>("value"), "--value=friday"), Is.EqualTo(DayOfWeek.Friday));
        Assert.That(Argument(context => context.Argument<TimeSpan>("value"), "--value=00:01:00"), Is.EqualTo(TimeSpan.FromMinutes(1)));
        Assert.That(Argument(context => context.Argument<Guid?>("value"), "--value=" + Guid.Empty), Is.EqualTo(Guid.Empty));
        Assert.That(Argument(context => context.Argument<Uri>("value").Host, "--value=https://example.com/"), Is.EqualTo("example.com"));
        Assert.That(Argument(context => context.Argument<FilePath>("value").FullPath, "--value=a/b.txt"), Is.EqualTo("a/b.txt"));
    }

    [TestCase("Argument 'some' was not set.")]
    [TestCase("Argument 'some' was not set.", "--some")]
    [TestCase("abc is not a valid value for Int32. (Parameter 'value')", "--some=abc")]
    public void A_missing_argument_a_bare_switch_and_a_bad_value_fail_in_words(string message, params string[] args)
    {
        var run = new Build().Doing(context => context.Argument<int>("some")).Run(args);

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Does.EndWith($"Error: {message}\n"));
    }

    [Test]
    public void A_bare_switch_is_there_but_has_no_value()
    {
        Assert.That(Argument(context => context.HasArgument("some"), "--some"), Is.True);
        Assert.That(Argument(context => context.Argument("some", false), "--some"), Is.False);
    }

    [Test]
    public void Working_changes_the_directory_of_the_process_and_beats_the_builds_own()
    {
        using var one = new TemporaryDirectory();
        using var two = new TemporaryDirectory();
        Build InOne() => Build.Of<Where>().Host(host => host.UseWorkingDirectory(one.Path));

        Assert.That(InOne().Run("--target=Where").Trace, Is.EqualTo(new[] { one.Path, one.Path }));
        Assert.That(InOne().Run("--target=Where", "--working", two.Path).Trace, Is.EqualTo(new[] { two.Path, two.Path }));
        Assert.That(InOne().Run("--target=Where", "-w", "..").Trace[0], Is.EqualTo(Path.GetDirectoryName(Environment.CurrentDirectory)));
    }

    [Test]
    public void A_missing_working_directory_is_refused()
    {
        using var directory = new TemporaryDirectory();
        var missing = Path.Combine(directory.Path, "missing");
        var run = Build.Of<Where>().Run("--target=Where", "--working=" + missing);

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo($"Error: The working directory '{missing}' does not exist.\n"));
    }

    private static T Argument<T>(Func<ICakeContext, T> read, params string[] args)
    {
        var value = default(T);
        var run = new Build().Doing(context => value = read(context)).Run(args);
        Assert.That(run.ExitCode, Is.Zero, run.Said);
        return value!;
    }

    private sealed class Named(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context) => trace.Add("Named");
    }

    private sealed class Where(Trace trace) : FrostingTask
    {
        public override void Run(ICakeContext context)
        {
            trace.Add(Environment.CurrentDirectory);
            trace.Add(context.Environment.WorkingDirectory.FullPath);
        }
    }
}
