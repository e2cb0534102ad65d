using System.Diagnostics;
using Rollout.Commands;

namespace Rollout.Tests.Commands;

public sealed class CommandRunnerTests
{
    private readonly List<string> _echoed = [];

    private CommandRunner Runner => new(_echoed.Add);

    [Test]
    public async Task A_command_is_echoed_as_it_could_be_typed()
    {
        await Runner.RunAsync(new CommandLine("/bin/echo", "a b", "it's", "plain=1"), default);
        Assert.That(_echoed, Is.EqualTo(new[] { @"echo 'a b' 'it'\''s' plain=1" }));
    }

    [Test]
    public async Task Output_error_and_exit_code_are_kept_apart()
    {
        var result = await Runner.RunAsync(new CommandLine("/bin/sh", "-c", "echo out; echo err >&2; exit 3"), default);
        Assert.That((result.ExitCode, result.Output.Trim(), result.Error.Trim()), Is.EqualTo((3, "out", "err")));
        Assert.That(() => result.OrThrow("Do this."), Throws.TypeOf<RolloutException>().With.Message.Contains("exit code 3: err"));
    }

    [Test]
    public async Task Variables_and_input_reach_the_command_and_arguments_do_not_show_them()
    {
        var result = await Runner.RunAsync(
            new CommandLine("/bin/sh", "-c", "cat; echo $TOKEN") { Input = "from input\n", Environment = new Dictionary<string, string?> { ["TOKEN"] = "hunter2" } }, default);
        Assert.That(result.Output, Is.EqualTo("from input\nhunter2\n"));
        Assert.That(string.Join('\n', _echoed), Does.Not.Contain("hunter2"));
    }

    [TestCase("head -c 3000000 /dev/zero", TestName = "Output beyond the limit is refused although the program ended by itself")]
    [TestCase("cat /dev/zero", TestName = "A program that never stops writing is stopped at the limit")]
    public void Output_beyond_the_limit_is_never_taken_for_all_of_it(string command) => Assert.That(
        () => Runner.PipeAsync(new CommandLine("/bin/sh", "-c", command), default, 1024 * 1024, default),
        Throws.TypeOf<RolloutException>().With.Message.Contains("wrote more than 1 MiB"));

    [Test]
    public async Task Bytes_pass_as_they_are()
    {
        byte[] bytes = [0, 255, 13, 10, 128, 26];
        Assert.That((await Runner.PipeAsync(new CommandLine("/bin/cat"), bytes, 1024, default)).Output, Is.EqualTo(bytes));
    }

    [Test]
    public void A_program_that_is_not_there_is_named() => Assert.That(
        () => Runner.RunAsync(new CommandLine("/nowhere/tool"), default),
        Throws.TypeOf<RolloutException>().With.Message.Contains("'/nowhere/tool' could not be started"));

    [Test]
    public void A_command_that_hangs_is_stopped_at_its_limit_with_its_children()
    {
        var marker = Guid.NewGuid().ToString("N");
        Assert.That(
            () => Runner.RunAsync(new CommandLine("/bin/sh", "-c", $"sh -c 'sleep 60; echo {marker}' & wait") { Timeout = TimeSpan.FromMilliseconds(300) }, default),
            Throws.TypeOf<RolloutException>().With.Message.Contains("did not end within"));
        Assert.That(Process.GetProcesses().Any(p => CommandLineOf(p).Contains(marker, StringComparison.Ordinal)), Is.False, "its children are stopped too");
    }

    [Test]
    public void Cancellation_stops_the_command()
    {
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        Assert.That(() => Runner.RunAsync(new CommandLine("/bin/sleep", "60"), cancel.Token), Throws.InstanceOf<OperationCanceledException>());
    }

    private static string CommandLineOf(Process process)
    {
        try
        {
            return File.ReadAllText($"/proc/{process.Id}/cmdline");
        }
        catch (IOException)
        {
            return string.Empty;
        }
    }
}
