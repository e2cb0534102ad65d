using Microsoft.Extensions.Time.Testing;
using Rollout.Traffic;

namespace Rollout.Tests.Traffic;

/// <summary>The client's view of DNS; the double's answers have a TTL of 60 s.</summary>
public sealed class CachingResolverTests
{
    private const string Host = "oms.aether.example.com";
    private const byte ServerFailure = 2;
    private const byte NoSuchName = 3;

    private readonly FakeTimeProvider _time = new();
    private NameServerDouble _server = null!;
    private CachingResolver _resolver = null!;

    [SetUp]
    public void Start()
    {
        _server = new NameServerDouble(_ => new DnsReply("192.0.2.10"));
        _resolver = new CachingResolver([_server.ToString()], _time);
    }

    [TearDown]
    public ValueTask End() => _server.DisposeAsync();

    [Test]
    public async Task An_answer_is_used_until_its_TTL_has_run_out_and_only_then_asked_again()
    {
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.10"));
        _server.Answer = _ => new DnsReply("192.0.2.20");
        _time.Advance(TimeSpan.FromSeconds(59.9));
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.10"));
        Assert.That(_resolver.Questions, Is.EqualTo(1));
        _time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.20"));
        Assert.That(_resolver.Questions, Is.EqualTo(2));
    }

    [Test]
    public async Task Each_host_has_a_TTL_of_its_own()
    {
        await AskAsync();
        _time.Advance(TimeSpan.FromSeconds(30));
        await _resolver.ResolveAsync("risk.aether.example.com", default);
        _server.Answer = _ => new DnsReply("192.0.2.20");
        _time.Advance(TimeSpan.FromSeconds(31));
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.20"));
        Assert.That(await _resolver.ResolveAsync("risk.aether.example.com", default), Is.EqualTo("192.0.2.10"));
    }

    [Test]
    public async Task A_name_server_that_fails_leaves_the_old_answer_in_use_and_is_asked_again_soon()
    {
        await AskAsync();
        _server.Answer = _ => new DnsReply { ResponseCode = ServerFailure };
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.10"));
        Assert.That((_resolver.Stale, _resolver.Questions), Is.EqualTo((1, 2)));
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.10"));
        Assert.That(_resolver.Questions, Is.EqualTo(2), "not with every request");
        _server.Answer = _ => new DnsReply("192.0.2.20");
        _time.Advance(CachingResolver.RetryPause);
        Assert.That(await AskAsync(), Is.EqualTo("192.0.2.20"));
    }

    [Test]
    public async Task A_name_that_is_gone_has_no_address_and_its_old_one_is_not_used()
    {
        await AskAsync();
        _server.Answer = _ => new DnsReply { ResponseCode = NoSuchName };
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.That(await AskAsync(), Is.Null);
        Assert.That(_resolver.Stale, Is.Zero);
    }

    [Test]
    public async Task A_host_that_no_server_ever_answered_for_has_no_address()
    {
        _server.Answer = _ => new DnsReply { ResponseCode = ServerFailure };
        Assert.That(await AskAsync(), Is.Null);
        Assert.That(_resolver.Stale, Is.Zero);
    }

    [Test]
    public async Task However_many_wait_one_question_is_asked()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => AskAsync().AsTask()));
        Assert.That(answers, Is.All.EqualTo("192.0.2.10"));
        Assert.That(_server.Questions, Has.Count.EqualTo(1));
    }

    private ValueTask<string?> AskAsync() => _resolver.ResolveAsync(Host, CancellationToken.None);
}
