using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

[Parallelizable(ParallelScope.All)]
public sealed class ResolversTests
{
    private static readonly string[] Hosts = ["oms.aether.example.com", "ui.aether.example.com"];

    [Test]
    public async Task Every_resolver_is_asked_with_recursion_and_tells_for_how_long_it_holds_its_answer()
    {
        await using var one = new NameServerDouble(_ => new DnsReply("127.20.0.20"));
        await using var two = new NameServerDouble(_ => new DnsReply("127.20.0.10"));

        var answers = await new Resolvers([one.ToString(), two.ToString()]).AskAsync(Hosts, default);

        Assert.That(answers, Is.EqualTo(new[]
        {
            new CachedAnswer(Hosts[0], one.ToString(), "127.20.0.20", 60, null),
            new CachedAnswer(Hosts[1], one.ToString(), "127.20.0.20", 60, null),
            new CachedAnswer(Hosts[0], two.ToString(), "127.20.0.10", 60, null),
            new CachedAnswer(Hosts[1], two.ToString(), "127.20.0.10", 60, null),
        }));
        Assert.That(one.Questions.Select(question => question.RecursionDesired), Is.All.True);
    }

    [Test]
    public async Task A_resolver_that_knows_nothing_or_fails_says_so_beside_one_that_answers()
    {
        await using var one = new NameServerDouble(question => question.Name == Hosts[0] ? new DnsReply() : new DnsReply() { ResponseCode = 2 });

        var answers = await new Resolvers([one.ToString()]).AskAsync(Hosts, default);

        Assert.That(answers.Select(answer => (answer.Address, answer.Problem)), Is.EqualTo(new[] { ((string?)null, "no address"), (null, "ServerFailure") }));
    }

    [Test]
    public async Task A_resolver_must_be_an_address()
    {
        var refusal = (await Assert.ThrowsAsync<RolloutException>(() => new Resolvers(["dns.example.com"]).AskAsync(Hosts, default)))!;

        Assert.That(refusal.Message, Is.EqualTo("The resolver 'dns.example.com' is no address."));
        Assert.That(refusal.ExitCode, Is.EqualTo(ExitCode.BadSettings));
    }
}
