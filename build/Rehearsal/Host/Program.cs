using System.Runtime.InteropServices;

namespace Rehearsal;

/// <summary>The program that a rehearsal runs against: <c>Rehearsal up</c> makes a world and keeps it until it is told to stop.</summary>
public static class Program
{
    public static async Task<int> Main(string[] args)
    {
        if (args is ["--help" or "-h"])
        {
            Console.Out.Write(UpArguments.Help);
            return 0;
        }

        if (UpArguments.Parse(args, out var problems) is not { } arguments)
        {
            foreach (var problem in problems)
            {
                await Console.Error.WriteLineAsync(problem);
            }

            await Console.Error.WriteLineAsync("See Rehearsal --help.");
            return 2;
        }

        using var stopping = new CancellationTokenSource();
        using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            stopping.Cancel();
        });

        // Ctrl-C and a closed terminal are meant for the rollout that started this world, which may want to come back to it.
        using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using var hungUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => context.Cancel = true);
        return await RunAsync(arguments, stopping);
    }

    private static async Task<int> RunAsync(UpArguments arguments, CancellationTokenSource stopping)
    {
        var time = TimeProvider.System;
        var started = time.GetTimestamp();
        void Report(string line) => Console.Out.WriteLine($"{time.GetElapsedTime(started).TotalSeconds,6:0.00}  {line}");
        var owner = arguments.ExitWith is { } pid ? FollowAsync(pid, time, stopping) : Task.CompletedTask;
        try
        {
            await using var world = await RehearsalWorld.StartAsync(arguments, Report, time, stopping.Token);
            Report($"ready in {time.GetElapsedTime(started).TotalMilliseconds:0} ms");
            await Task.Delay(Timeout.InfiniteTimeSpan, time, stopping.Token)
                .ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            Report("stopping");
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            Report("stopped before it was ready");
        }
        catch (Exception expected) when (expected is IOException or RehearsalException)
        {
            await Console.Error.WriteLineAsync(expected.Message);
            return 1;
        }
        finally
        {
            await stopping.CancelAsync();
            await owner;
        }

        Report("stopped");
        return 0;
    }

    /// <summary>Stops the world when the process it belongs to is gone, or a zombie that nobody has collected.</summary>
    private static async Task FollowAsync(int pid, TimeProvider time, CancellationTokenSource stopping)
    {
        try
        {
            while (ProcessTable.IsAlive(pid))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(200), time, stopping.Token);
            }

            await stopping.CancelAsync();
        }
        catch (OperationCanceledException)
        {
            // The world stops for another reason.
        }
    }
}
