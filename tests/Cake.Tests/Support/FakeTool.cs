using Cake.Core;
using Cake.Core.IO;

namespace Cake.Tests.Support;

/// <summary>A program that prints each of its arguments as <c>[argument]</c>, complains and exits as its environment says.</summary>
internal sealed class FakeTool : IDisposable
{
    private const string Script = """
        #!/bin/sh
        for argument in "$@"; do printf '[%s]\n' "$argument"; done
        [ -z "$SHOW" ] || printf 'environment %s\n' "$SHOW"
        [ -z "$COMPLAIN" ] || printf '%s\n' "$COMPLAIN" >&2
        exit "${EXIT:-0}"
        """;

    private readonly TemporaryDirectory _directory = new();

    public FakeTool(string name)
    {
        Path = _directory.File(name, Script.ReplaceLineEndings("\n") + "\n");
        if (!OperatingSystem.IsWindows())
        {
            System.IO.File.SetUnixFileMode(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    public FilePath Path { get; }

    public string Directory => _directory.Path;

    /// <summary>Runs a call in a build and returns what it returns.</summary>
    public static T Run<T>(Func<ICakeContext, T> call)
    {
        var result = default(T);
        var run = new Build().Doing(context => result = call(context)).Run();
        Assert.That(run.ExitCode, Is.Zero, run.Said);
        return result!;
    }

    /// <summary>Runs a call that prints, and returns the arguments the program was started with.</summary>
    public static async Task<IReadOnlyList<string>> ArgumentsOfAsync(string call)
    {
        using var process = new SampleProcess(null, "--target=Tool", "--call=" + call);
        var run = await process.ResultAsync();
        Assert.That(run.ExitCode, Is.Zero, run.Said);
        return [.. run.Output.Split('\n').Where(line => line.StartsWith('['))];
    }

    public void Dispose() => _directory.Dispose();
}
