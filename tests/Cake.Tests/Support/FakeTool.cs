using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;

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
            System.IO.File.SetUnixFileMode(Path.FullPath, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    public FilePath Path { get; }

    /// <summary>Runs a call in a build and returns what it returns.</summary>
    public static T Run<T>(Func<ICakeContext, T> call)
    {
        var result = default(T);
        var run = new Build().Doing(context => result = call(context)).Run();
        Assert.That(run.ExitCode, Is.Zero, run.Said);
        return result!;
    }

    /// <summary>Runs a call that must fail in a build and returns what it throws.</summary>
    public static CakeException Fails(Action<ICakeContext> call)
    {
        CakeException? exception = null;
        new Build().Doing(context => exception = Assert.Throws<CakeException>(() => call(context))).Run();
        return exception!;
    }

    /// <summary>Settings for this program; what a call prints goes to <paramref name="output"/> and not to the console.</summary>
    public T Printing<T>(List<string> output, T settings)
        where T : ToolSettings
    {
        settings.ToolPath = Path;
        settings.SetupProcessSettings = process => process.RedirectStandardOutput = true;
        settings.PostAction = process => output.AddRange(process.GetStandardOutput());
        return settings;
    }

    /// <summary>Settings for this program.</summary>
    public T With<T>(T settings)
        where T : ToolSettings
    {
        settings.ToolPath = Path;
        return settings;
    }

    public void Dispose() => _directory.Dispose();
}
