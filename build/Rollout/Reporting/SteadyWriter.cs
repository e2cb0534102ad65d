using System.Text;

namespace Rollout.Reporting;

/// <summary>
/// A console that cannot end a rollout: a closed pager or a terminal that hung up makes every write fail, and a step that dies of it in the middle
/// of a flip would be the worse fault. What cannot be shown is lost; the journal has it. Tools that inherit the console write to it themselves.
/// </summary>
public sealed class SteadyWriter(TextWriter inner) : TextWriter
{
    public override Encoding Encoding => inner.Encoding;

    public override void Write(char value) => Try(() => inner.Write(value));

    public override void Write(char[] buffer, int index, int count) => Try(() => inner.Write(buffer, index, count));

    public override void Write(string? value) => Try(() => inner.Write(value));

    public override void WriteLine(string? value) => Try(() => inner.WriteLine(value));

    public override void Flush() => Try(inner.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (IOException)
        {
            // Nobody listens any more.
        }
    }
}
