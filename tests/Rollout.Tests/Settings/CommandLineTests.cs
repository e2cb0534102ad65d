namespace Rollout.Tests.Settings;

public sealed class CommandLineTests
{
    [TestCase("--target=FlipDns")]
    [TestCase("--target", "FlipDns")]
    [TestCase("--target:FlipDns")]
    [TestCase("-t", "FlipDns")]
    [TestCase("-t=FlipDns")]
    public void A_target_is_given_in_any_of_cakes_ways(params string[] arguments) =>
        Assert.That(CommandLineArguments.Parse(arguments).Targets, Is.EqualTo(new[] { "FlipDns" }));

    [TestCase("--tree", "tree")]
    [TestCase("--showtree", "tree")]
    [TestCase("--whatif", "dryrun")]
    [TestCase("-e", "exclusive")]
    [TestCase("--ver", "version")]
    public void Cakes_switches_are_known_by_all_their_names(string argument, string mode) =>
        Assert.That(CommandLineArguments.Parse([argument]).Modes, Does.Contain(mode));

    [Test]
    public void A_switch_that_is_given_as_false_is_off() =>
        Assert.That(CommandLineArguments.Parse(["--tree=false"]).Modes, Is.Empty);

    [Test]
    public void A_value_may_hold_the_separator() =>
        Assert.That(CommandLineArguments.Parse(["--fault=health-error=green:oms-service"]).Options["fault"], Is.EqualTo("health-error=green:oms-service"));

    [Test]
    public void A_switch_of_ours_does_not_eat_the_next_word() =>
        Assert.That(() => CommandLineArguments.Parse(["--json", "Status"]), Throws.TypeOf<RolloutException>().With.Message.Contains("--target=Status"));

    [TestCase("--target")]
    [TestCase("--target=")]
    [TestCase("--release", "--json")]
    public void An_option_without_its_value_is_refused(params string[] arguments)
    {
        var error = Assert.Throws<RolloutException>(() => CommandLineArguments.Parse(arguments));
        Assert.That(error!.ExitCode, Is.EqualTo(ExitCode.BadSettings));
        Assert.That(error.Message, Does.Contain("needs a value"));
    }

    [Test]
    public void A_bare_word_is_refused_with_what_was_probably_meant() =>
        Assert.That(() => CommandLineArguments.Parse(["Switch"]), Throws.TypeOf<RolloutException>().With.Message.Contains("--target=Switch"));
}
