using Cake.Tests.Support;

namespace Cake.Tests.Frosting;

/// <summary>What only shows in a process of its own: the sample build, found in the entry assembly.</summary>
public sealed class ProcessTests
{
    [Test]
    public async Task The_tasks_of_the_entry_assembly_run_and_errors_alone_go_to_standard_error()
    {
        using var directory = new TemporaryDirectory();
        var run = await SampleProcess.RunAsync("--working", directory.Path);

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(run.Output, Does.Contain($"hello from {directory.Path}\n").And.Contain("a warning\n"));
        Assert.That(run.Output, Does.Match("Default +[0-9:.]+ +Succeeded"));
        Assert.That(run.Error, Is.EqualTo("an error\n"));
    }

    [Test]
    public async Task A_tasks_CakeException_is_the_exit_code_of_the_process()
    {
        var run = await SampleProcess.RunAsync("--target=Held");

        Assert.That(run.ExitCode, Is.EqualTo(4), run.Said);
        Assert.That(run.Error, Is.EqualTo("An error occurred when executing task 'Held'.\nError: held\n"));
    }

    [Test]
    public async Task A_shell_sees_255_when_the_command_line_cannot_be_parsed()
    {
        Assert.That((await SampleProcess.RunAsync("Hello")).ExitCode, Is.EqualTo(255));
    }

    [Test]
    public async Task Version_is_the_description_of_the_entry_assembly()
    {
        Assert.That((await SampleProcess.RunAsync("--version")).Output, Is.EqualTo("The sample build of Cake.Tests\n"));
        Assert.That(
            (await SampleProcess.RunAsync("--info")).Output,
            Does.Match("\nVersion: The sample build of Cake.Tests\nDetails: .+\n"));
    }

    [Test]
    public async Task Colours_follow_the_terminal_type_even_into_a_pipe_unless_switched_off()
    {
        async Task<bool> Colours(Dictionary<string, string> environment)
        {
            using var process = new SampleProcess(environment, "--target=Hello");
            return (await process.ResultAsync()).Output.Contains('\u001b', StringComparison.Ordinal);
        }

        Assert.That(await Colours(new() { ["TERM"] = "xterm" }), Is.True);
        Assert.That(await Colours(new() { ["TERM"] = "xterm", ["NO_COLOR"] = "1" }), Is.False);
        Assert.That(await Colours(new() { ["TERM"] = "dumb" }), Is.False);
    }

    [Test]
    [Platform(Include = "Unix")]
    public async Task A_termination_signal_ends_the_process_without_a_teardown()
    {
        using var process = new SampleProcess(null, "--target=Hang");
        await process.SeesAsync("hanging");
        await process.TerminateAsync();
        var run = await process.ResultAsync();

        Assert.That(run.ExitCode, Is.EqualTo(143), run.Said);
        Assert.That(run.Output, Does.Not.Contain("sample teardown"), "the engine cancels nothing: a build owns its token");
    }
}
