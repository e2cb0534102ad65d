using Cake.Core;
using Cake.Core.Diagnostics;
using Cake.Frosting;

namespace Cake.Tests.Sample;

/// <summary>The build that <c>dotnet Cake.Tests.dll</c> runs, and that assembly discovery finds.</summary>
public static class Program
{
    public static int Main(string[] args) => new CakeHost().UseLifetime<SampleLifetime>().Run(args);
}

public sealed class SampleLifetime : FrostingLifetime
{
    public override void Setup(ICakeContext context, ISetupContext info) => context.Log.Information("sample setup");

    public override void Teardown(ICakeContext context, ITeardownContext info) => context.Log.Information("sample teardown");
}

[TaskDescription("says hello")]
public sealed class Hello : FrostingTask
{
    public override void Run(ICakeContext context)
    {
        context.Log.Information("hello from {0}", context.Environment.WorkingDirectory.FullPath);
        context.Log.Warning("a warning");
        context.Log.Error("an error");
    }
}

[IsDependentOn(typeof(Hello))]
public sealed class Default : FrostingTask;

public sealed class Held : AsyncFrostingTask
{
    public override async Task RunAsync(ICakeContext context)
    {
        await Task.Yield();
        throw new CakeException(4, "held");
    }
}

public sealed class Hang : FrostingTask
{
    public override void Run(ICakeContext context)
    {
        context.Log.Information("hanging");
        using var never = new ManualResetEventSlim();
        never.Wait();
    }
}

public static class Nest
{
    public sealed class Nested : FrostingTask;

    internal sealed class Hidden : FrostingTask;
}

public abstract class Unfinished : FrostingTask;
