using System.Text;
using Cake.Core;
using Cake.Core.IO;

namespace Cake.Tests.Support;

/// <summary>Starts nothing and keeps the lines.</summary>
internal sealed class RecordingProcessRunner : IProcessRunner
{
    public List<string> Lines { get; } = [];

    public List<ProcessSettings> Settings { get; } = [];

    public IProcess Start(FilePath filePath, ProcessSettings settings)
    {
        Lines.Add($"{filePath.FullPath} {settings.Arguments.Render()}");
        Settings.Add(settings);
        return new Ended();
    }

    private sealed class Ended : IProcess
    {
        public void WaitForExit()
        {
        }

        public bool WaitForExit(int milliseconds) => true;

        public int GetExitCode() => 0;

        public IEnumerable<string> GetStandardError() => [];

        public IEnumerable<string> GetStandardOutput() => ["recorded"];

        public void Kill()
        {
        }

        public void Dispose()
        {
        }
    }
}

/// <summary>Keeps what is written and shows nothing.</summary>
internal sealed class SilentConsole : IConsole
{
    private readonly StringBuilder _text = new();

    public string Text => _text.ToString();

    public ConsoleColor ForegroundColor { get; set; }

    public ConsoleColor BackgroundColor { get; set; }

    public bool SupportAnsiEscapeCodes => false;

    public void Write(string format, params object[] arg) => _text.AppendFormat(null, format, arg);

    public void Write(string value) => _text.Append(value);

    public void WriteLine(string format, params object[] arg) => _text.AppendFormat(null, format, arg).Append('\n');

    public void WriteLine(string value) => _text.Append(value).Append('\n');

    public void WriteError(string format, params object[] arg) => _text.AppendFormat(null, format, arg);

    public void WriteError(string value) => _text.Append(value);

    public void WriteErrorLine(string format, params object[] arg) => _text.AppendFormat(null, format, arg).Append('\n');

    public void WriteErrorLine(string value) => _text.Append(value).Append('\n');

    public void ResetColor()
    {
    }
}
