using System.Diagnostics;

namespace Cake.Tests.Support;

/// <summary>The sample build in a process of its own.</summary>
internal sealed class SampleProcess : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);
    private readonly Process _process;
    private readonly Task<string> _error;

    public SampleProcess(IReadOnlyDictionary<string, string>? environment = null, params string[] args)
    {
        var dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        var start = new ProcessStartInfo(dotnet, [typeof(SampleProcess).Assembly.Location, .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        start.Environment.Remove("NO_COLOR");
        start.Environment["TERM"] = "dumb";
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _error = _process.StandardError.ReadToEndAsync();
    }

    public static async Task<BuildResult> RunAsync(params string[] args)
    {
        using var process = new SampleProcess(null, args);
        return await process.ResultAsync();
    }

    /// <summary>Reads on until a line of standard output is this one.</summary>
    public async Task SeesAsync(string line)
    {
        using var limit = new CancellationTokenSource(Limit);
        string? read;
        do
        {
            read = await _process.StandardOutput.ReadLineAsync(limit.Token);
            Assert.That(read, Is.Not.Null, $"the sample ended before it said '{line}'");
        }
        while (read != line);
    }

    /// <summary>Asks it to end as a terminal or a pipeline would.</summary>
    public async Task TerminateAsync()
    {
        using var kill = Process.Start("kill", ["-TERM", _process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
    }

    /// <summary>The rest of what it says, once it has ended.</summary>
    public async Task<BuildResult> ResultAsync()
    {
        using var limit = new CancellationTokenSource(Limit);
        var output = await _process.StandardOutput.ReadToEndAsync(limit.Token);
        await _process.WaitForExitAsync(limit.Token);
        return new BuildResult(_process.ExitCode, output, await _error, []);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }
}
