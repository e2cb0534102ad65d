using System.Text;
using Rollout.Reporting;

namespace Rollout.Tests.Reporting;

public sealed class SteadyWriterTests
{
    [Test]
    public void A_console_that_nobody_reads_any_more_ends_nothing()
    {
        using var console = new SteadyWriter(new ClosedPipe());
        Assert.That(
            () =>
            {
                console.Write('a');
                console.Write("b");
                console.Write(['c'], 0, 1);
                console.WriteLine("d");
                console.Flush();
            },
            Throws.Nothing);
    }

    [Test]
    public void What_can_be_shown_is_shown()
    {
        using var shown = new StringWriter { NewLine = "\n" };
        using var console = new SteadyWriter(shown);
        console.Write('a');
        console.Write("b");
        console.WriteLine("c");
        Assert.That(shown.ToString(), Is.EqualTo("abc\n"));
    }

    private sealed class ClosedPipe : TextWriter
    {
        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value) => throw new IOException("Broken pipe");

        public override void Flush() => throw new IOException("Broken pipe");
    }
}
