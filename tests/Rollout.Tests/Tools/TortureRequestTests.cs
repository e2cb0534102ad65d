using Rollout.Tools;

namespace Rollout.Tests.Tools;

public sealed class TortureRequestTests
{
    [Test]
    public void Without_options_it_is_the_whole_matrix()
    {
        var request = Request();
        Assert.That((request.Every, request.Seed, request.Rounds, request.Points.Count), Is.EqualTo((1, (int?)null, (int?)null, 0)));
    }

    [Test]
    public void Options_are_read()
    {
        Assert.That(Request("--every=12").Every, Is.EqualTo(12));
        Assert.That(Request("--point=before:FlipDns/started, after:FlipDns/done").Points, Is.EqualTo(new[] { "before:FlipDns/started", "after:FlipDns/done" }));
        var random = Request("--seed=0", "--rounds=3");
        Assert.That((random.Seed, random.Rounds), Is.EqualTo((0, 3)));
    }

    [TestCase("--every=0", "--every: '0' is no whole number from 1 on")]
    [TestCase("--seed=x", "--seed: 'x' is no whole number from 0 on")]
    [TestCase("--rounds=2", "--rounds goes with --seed")]
    [TestCase("--seed=1 --every=2", "--every and --point go without")]
    [TestCase("--seed=1 --point=before:FlipDns/started", "--every and --point go without")]
    public void What_makes_no_sense_is_refused_with_2(string options, string says)
    {
        var refused = Assert.Throws<RolloutException>(() => Request(options.Split(' ')));
        Assert.That(refused!.Message, Does.Contain(says).And.Contain("Nothing was touched"));
        Assert.That(refused.ExitCode, Is.EqualTo(ExitCode.BadSettings));
    }

    private static TortureRequest Request(params string[] options) => TortureRequest.From(CommandLineArguments.Parse(options).Options);
}
