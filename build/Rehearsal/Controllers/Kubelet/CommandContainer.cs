namespace Rehearsal.Controllers;

/// <summary>An init container that runs a command in place of its image's program, as a shell line that prepares a volume.</summary>
internal sealed class CommandContainer : IRunningContainer
{
    private readonly CancellationTokenSource _stop = new();

    public CommandContainer(ContainerPlace place, IReadOnlyList<string> command, ContainerLog log)
    {
        Completion = RunAsync(place, command, log);
    }

    public Task<int> Completion { get; }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Completion.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        _stop.Dispose();
    }

    private async Task<int> RunAsync(ContainerPlace place, IReadOnlyList<string> command, ContainerLog log)
    {
        using var output = new MemoryStream();
        var code = await ContainerExec.RunAsync(place, command, null, output, output, _stop.Token);
        foreach (var line in System.Text.Encoding.UTF8.GetString(output.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            log.Write(line);
        }

        return code;
    }
}
