using System.Runtime.CompilerServices;
using Cake.Core.IO;
using Rollout.Tests.Support;

namespace Rollout.Tests.Commands;

[Platform(Include = "Unix")]
public sealed class EchoingProcessRunnerTests
{
    [Test]
    public async Task A_cancelled_command_is_interrupted_and_may_say_its_last_words()
    {
        using var place = new ToolPlace();
        using var process = Start(place, "trap 'echo marked as failed >&2; exit 9' INT; echo > begun; while :; do sleep 0.05; done");
        await UntilAsync(() => File.Exists(place.PathOf("begun")));
        await place.Stop.CancelAsync();
        process.WaitForExit();
        Assert.That((process.GetExitCode(), place.Runner.LastComplaint), Is.EqualTo((9, "marked as failed")));
    }

    [Test]
    public async Task A_cancelled_command_that_does_not_listen_is_killed()
    {
        using var place = new ToolPlace(new HastyTime(deadline: 10));
        using var process = Start(place, "trap '' INT; echo > begun; exec sleep 60");
        await UntilAsync(() => File.Exists(place.PathOf("begun")));
        await place.Stop.CancelAsync();
        process.WaitForExit();
        Assert.That(process.GetExitCode(), Is.EqualTo(128 + 9));
    }

    [Test]
    public void A_command_that_fails_within_a_limit_is_heard_to_the_end()
    {
        using var place = new ToolPlace();
        using var process = Start(place, "for n in 1 2 3 4 5; do echo $n >&2; done; exit 1");
        Assert.That(process.WaitForExit(60_000), Is.True);
        Assert.That(place.Runner.LastComplaint, Is.EqualTo("1\n2\n3\n4\n5"));
    }

    [Test]
    public void A_command_beyond_its_limit_is_told_from_one_that_ended()
    {
        using var place = new ToolPlace();
        using var process = Start(place, "exec sleep 60");
        Assert.That(process.WaitForExit(50), Is.False);
    }

    [Test]
    public void A_command_that_has_ended_is_forgotten()
    {
        using var place = new ToolPlace();
        var process = Ended(place);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        Assert.That(process.TryGetTarget(out _), Is.False, "the run's token still holds on to it");
    }

    [Test]
    public void Nothing_is_started_in_a_cancelled_run()
    {
        using var place = new ToolPlace();
        place.Stop.Cancel();
        Assert.That(() => Start(place, "echo > begun"), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(File.Exists(place.PathOf("begun")), Is.False);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference<IProcess> Ended(ToolPlace place)
    {
        var process = Start(place, "exit 0");
        process.WaitForExit();
        return new WeakReference<IProcess>(process);
    }

    private static IProcess Start(ToolPlace place, string body) =>
        place.Runner.Start(place.Script("tool", $"cd \"$(dirname \"$0\")\"; {body}"), new ProcessSettings())!;

    private static Task<bool> UntilAsync(Func<bool> reached) => Waiting.UntilAsync(
        "the tool to begin", _ => Task.FromResult(reached()), seen => seen, seen => $"{seen}", TimeSpan.FromSeconds(30), TimeSpan.FromMilliseconds(10), TimeProvider.System, new Reports(), default);
}
