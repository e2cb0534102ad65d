using System.Text;
using Cake.Tests.Support;

// The console, the working directory and the environment belong to the process.
[assembly: NonParallelizable]

namespace Cake.Tests
{
    /// <summary>Routes the process's console to the tests, once, because the engine's library keeps the writer it saw first.</summary>
    [SetUpFixture]
    public sealed class ConsoleRouting
    {
        private readonly TextWriter _output = Console.Out;
        private readonly TextWriter _error = Console.Error;
        private readonly string? _noColor = Environment.GetEnvironmentVariable("NO_COLOR");

        [OneTimeSetUp]
        public void Route()
        {
            Environment.SetEnvironmentVariable("NO_COLOR", "1");
            Console.SetOut(Consoles.Output);
            Console.SetError(Consoles.Error);
        }

        [OneTimeTearDown]
        public void Restore()
        {
            Console.SetOut(_output);
            Console.SetError(_error);
            Environment.SetEnvironmentVariable("NO_COLOR", _noColor);
        }
    }
}

namespace Cake.Tests.Support
{
    internal static class Consoles
    {
        public static RoutedWriter Output { get; } = new();

        public static RoutedWriter Error { get; } = new();
    }

    internal sealed class RoutedWriter : TextWriter
    {
        private readonly StringBuilder _text = new();

        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value)
        {
            lock (_text)
            {
                _text.Append(value);
            }
        }

        /// <summary>What was written since the last call.</summary>
        public string Take()
        {
            lock (_text)
            {
                var text = _text.ToString();
                _text.Clear();
                return text;
            }
        }
    }
}
