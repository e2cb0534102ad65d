using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

/// <summary>Fault <c>cluster-hold</c>: a crash test kills its victim while a journal's write is held, on a known side of it.</summary>
public sealed class JournalHoldTests
{
    private const string Maps = "/api/v1/namespaces/test/configmaps";

    private TestCluster _cluster = null!;
    private string? _fault;

    [SetUp]
    public async Task StartAsync()
    {
        _fault = null;
        _cluster = await TestCluster.StartAsync(fault: name => name == "cluster-hold" ? Volatile.Read(ref _fault) : null);
    }

    [TearDown]
    public async Task StopAsync() => await _cluster.DisposeAsync();

    [Test]
    public async Task A_write_held_before_is_not_applied_and_never_is_when_its_client_goes_away()
    {
        Set("before:FlipDns/records/intent");
        using var client = new CancellationTokenSource();
        var write = WriteAsync(client.Token, Entry("FlipDns", "intent", "records"));
        Assert.That(await HeldAsync(), Is.EqualTo("before:FlipDns/records/intent"));
        Assert.That(Stored(), Is.Null, "the journal while its write is held");

        await client.CancelAsync();
        Assert.That(async () => await write, Throws.InstanceOf<OperationCanceledException>());
        await ReleasedAsync();
        Set(null);
        Assert.That((await WriteAsync(CancellationToken.None, Entry("FlipDns", "started"))).Code, Is.EqualTo(201));
        Assert.That(Stored(), Does.Contain("started").And.Not.Contain("intent"), "the journal after the next client's write");
    }

    [Test]
    public async Task A_write_held_before_is_applied_and_answered_when_the_fault_is_cleared()
    {
        Set("before:FlipDns/started");
        var write = WriteAsync(CancellationToken.None, Entry("FlipDns", "started"));
        await HeldAsync();
        Set(null);
        Assert.That((await write).Code, Is.EqualTo(201));
        Assert.That(Stored(), Does.Contain("FlipDns"));
    }

    [Test]
    public async Task A_write_held_after_is_applied_and_its_answer_comes_when_the_fault_is_cleared()
    {
        Set("after:FlipDns/done");
        var write = WriteAsync(CancellationToken.None, Entry("FlipDns", "started"), Entry("FlipDns", "done"));
        Assert.That(await HeldAsync(), Is.EqualTo("after:FlipDns/done"));
        Assert.That(Stored(), Does.Contain("done"), "the journal while the answer is held");
        Assert.That(write.IsCompleted, Is.False, "the write is answered");
        Set(null);
        Assert.That((await write)["metadata.name"], Is.EqualTo("journal"));
    }

    [Test]
    public async Task Only_the_named_step_part_and_event_is_held_and_only_as_the_last_line()
    {
        Set("before:FlipDns/records/intent");
        Assert.That((await WriteAsync(CancellationToken.None, Entry("FlipDns", "intent"))).Code, Is.EqualTo(201), "no part");
        Assert.That((await WriteAsync(CancellationToken.None, Entry("RestoreDns", "intent", "records"))).Code, Is.EqualTo(200), "step");
        Assert.That((await WriteAsync(CancellationToken.None, Entry("FlipDns", "done", "records"))).Code, Is.EqualTo(200), "event");
        var longer = await WriteAsync(CancellationToken.None, Entry("FlipDns", "intent", "records"), Entry("FlipDns", "done"));
        Assert.That(longer.Code, Is.EqualTo(200), "a line before the last");
        var strange = await _cluster.PostAsync(Maps, """{"metadata":{"name":"other"},"data":{"journal.jsonl":"no line\n"}}""");
        Assert.That(strange.Code, Is.EqualTo(201), "no JSON");
        Assert.That(await _cluster.Server.HeldAsync(TimeSpan.Zero, CancellationToken.None), Is.Null);
    }

    [Test]
    public async Task A_setting_holds_once_and_the_same_one_set_again_holds_again()
    {
        Set("before:FlipDns/started");
        var first = WriteAsync(CancellationToken.None, Entry("FlipDns", "started"));
        await HeldAsync();
        Assert.That((await WriteAsync(CancellationToken.None, Entry("FlipDns", "started"))).Code, Is.EqualTo(201), "a second write");
        Set("before:FlipDns/started");
        Assert.That((await first).Code, Is.EqualTo(409), "the first, which the second overtook");

        var third = WriteAsync(CancellationToken.None, Entry("FlipDns", "started"));
        await HeldAsync();
        Set(null);
        Assert.That((await third).Code, Is.EqualTo(200));
    }

    // Faults.Set makes a new instance of each setting; so does this.
    private void Set(string? argument) => Volatile.Write(ref _fault, argument is null ? null : new string(argument.AsSpan()));

    private Task<string?> HeldAsync() => _cluster.Server.HeldAsync(Patience.Limit, CancellationToken.None);

    private async Task ReleasedAsync()
    {
        using var patience = new CancellationTokenSource(Patience.Limit);
        while (await _cluster.Server.HeldAsync(TimeSpan.Zero, patience.Token) is not null)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, patience.Token);
        }
    }

    private string? Stored() => (string?)_cluster.Store.Get(new ObjectKey("", "configmaps", "test", "journal"))?["data"]?["journal.jsonl"];

    private static JsonObject Entry(string step, string what, string? part = null)
    {
        var entry = new JsonObject { ["step"] = step, ["event"] = what };
        if (part is not null)
        {
            entry["part"] = part;
        }

        return entry;
    }

    private async Task<Reply> WriteAsync(CancellationToken cancellation, params JsonObject[] entries)
    {
        var exists = Stored() is not null;
        var map = new JsonObject
        {
            ["metadata"] = new JsonObject { ["name"] = "journal" },
            ["data"] = new JsonObject { ["journal.jsonl"] = string.Concat(entries.Select(entry => entry.ToJsonString() + "\n")) },
        };
        using var body = new StringContent(map.ToJsonString(), System.Text.Encoding.UTF8, "application/json");
        using var answer = exists
            ? await _cluster.Client.PutAsync(Maps + "/journal", body, cancellation)
            : await _cluster.Client.PostAsync(Maps, body, cancellation);
        return new Reply(
            (int)answer.StatusCode,
            await answer.Content.ReadAsStringAsync(cancellation),
            answer.Headers,
            answer.Content.Headers.ContentType?.ToString());
    }
}
