using System.Text.RegularExpressions;
using Rehearsal.Tests.Platform;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

public sealed partial class FaultsTests
{
    [Test]
    public void The_readme_names_every_fault_and_no_other()
    {
        var readme = File.ReadAllText(Path.Combine(Checkout.Root, "../README.md"));
        var chapter = readme[readme.IndexOf("## Faults", StringComparison.Ordinal)..];
        Assert.That(Name().Matches(chapter).Select(match => match.Groups["name"].Value), Is.EqualTo(Faults.Known.Keys));
    }

    [Test]
    public void A_fault_that_nobody_knows_is_refused_with_the_names_of_the_others()
    {
        using var place = new TestPlace();
        Assert.That(
            () => place.Faults.Set("linode-bussy", ""),
            Throws.ArgumentException.With.Message.Contains("linode-bussy").And.Message.Contains("linode-busy"));
    }

    [GeneratedRegex("`(?<name>[a-z-]+)`")]
    private static partial Regex Name();
}
