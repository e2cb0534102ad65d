using Cake.Core.Configuration;
using Cake.Frosting;
using Cake.Tests.Support;

namespace Cake.Tests.Frosting;

/// <summary>The layers of the configuration and the syntax of its file.</summary>
public sealed class ConfigurationTests
{
    private TemporaryDirectory _directory = null!;

    [SetUp]
    public void MakeDirectory() => _directory = new TemporaryDirectory();

    [TearDown]
    public void Remove()
    {
        Environment.SetEnvironmentVariable("CAKE_SOME_KEY", null);
        _directory.Dispose();
    }

    [Test]
    public void An_argument_beats_the_file_the_file_beats_the_environment_and_that_beats_the_builds_own_setting()
    {
        Assert.That(Value(), Is.EqualTo("build"));
        Environment.SetEnvironmentVariable("CAKE_SOME_KEY", "environment");
        Assert.That(Value(), Is.EqualTo("environment"));
        _directory.File("cake.config", "[Some]\nKey=file\n");
        Assert.That(Value(), Is.EqualTo("file"));
        Assert.That(Value("--some_key=argument", "--some_key=second"), Is.EqualTo("argument"));
    }

    [Test]
    public void An_unknown_key_has_no_value()
    {
        Assert.That(Read("Other_Key"), Is.Null);
    }

    [Test]
    public void A_later_setting_of_the_build_replaces_an_earlier_one_whatever_the_case()
    {
        var value = string.Empty;
        new Build().Host(host => host.UseCakeSetting("A_B", "1").UseCakeSetting("a_b", "2"))
            .Doing(context => value = context.Configuration.GetValue("A_B")).Run();

        Assert.That(value, Is.EqualTo("2"));
    }

    [Test]
    public void The_file_keeps_quotes_semicolons_and_trailing_blanks_and_fills_in_the_environment()
    {
        Environment.SetEnvironmentVariable("CAKE_SOME_KEY", "inserted");
        _directory.File(
            "cake.config",
            "; a comment\nTop=  \"quoted\"\n[Section]\nParts=a;b \nFilled=x%CAKE_SOME_KEY%y\nTwice=1\nTwice=2\n");

        Assert.That(Read("Top"), Is.EqualTo("\"quoted\""));
        Assert.That(Read("section_parts"), Is.EqualTo("a;b "));
        Assert.That(Read("Section_Filled"), Is.EqualTo("xinsertedy"));
        Assert.That(Read("Section_Twice"), Is.EqualTo("2"));
    }

    [TestCase("X =1", "The key 'X ' contains whitespace.")]
    [TestCase("X=a=b", "Encountered unexpected token.")]
    [TestCase("X=", "Expected to find value.")]
    [TestCase("X", "Expected to find '=' token.")]
    [TestCase("[X", "Encountered malformed section.")]
    public void A_bad_file_fails_the_run(string line, string message)
    {
        _directory.File("cake.config", line + "\n");
        var run = new Build().Doing(_ => { }).Run("--working=" + _directory.Path);

        Assert.That(run.ExitCode, Is.EqualTo(1), run.Said);
        Assert.That(run.Error, Is.EqualTo($"Error: {message}\n"));
    }

    [Test]
    public void SetToolPath_is_the_setting_Paths_Tools()
    {
        var value = string.Empty;
        new Build()
            .Host(host => host.SetToolPath("./somewhere"))
            .Doing(context => value = context.Configuration.GetValue("Paths_Tools"))
            .Run();

        Assert.That(value, Is.EqualTo("somewhere"));
    }

    [Test]
    public void Verbosity_comes_from_the_configuration_unless_the_command_line_has_it()
    {
        _directory.File("cake.config", "[Settings]\nVerbosity=quiet\n");
        Build Talking() => new Build().Doing(context => Core.Diagnostics.LogExtensions.Information(context.Log, "spoken"));

        Assert.That(Talking().Run("--working=" + _directory.Path).Output, Does.Not.Contain("spoken"));
        Assert.That(Talking().Run("--working=" + _directory.Path, "-v", "n").Output, Does.Contain("spoken"));
    }

    private string? Value(params string[] args) => Read("Some_Key", args);

    private string? Read(string key, params string[] args)
    {
        ICakeConfiguration? configuration = null;
        var run = new Build()
            .Host(host => host.UseCakeSetting("Some_Key", "build"))
            .Doing(context => configuration = context.Configuration)
            .Run([.. args, "--working", _directory.Path]);
        Assert.That(run.ExitCode, Is.Zero, run.Said);
        return configuration!.GetValue(key);
    }
}
