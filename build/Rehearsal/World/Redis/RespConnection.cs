using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;

namespace Rehearsal.World;

/// <summary>
/// One client connection speaking RESP2, or RESP3 after <c>HELLO 3</c>: reads commands, writes answers. Answers of pipelined commands
/// leave in one piece.
/// </summary>
internal sealed class RespConnection(Stream stream, long id) : IAsyncDisposable
{
    private const int LongestArgument = 8 * 1024 * 1024;

    private readonly PipeReader _reader = PipeReader.Create(stream);
    private readonly ArrayBufferWriter<byte> _answer = new();
    private readonly SemaphoreSlim _writing = new(1);

    public long Id { get; } = id;

    public int Database { get; set; }

    public bool IsAuthenticated { get; set; }

    public bool IsResp3 { get; set; }

    public string Name { get; set; } = "";

    public HashSet<string> Channels { get; } = new(StringComparer.Ordinal);

    /// <summary>Answers each command in turn, until the client leaves or <paramref name="answer"/> says false.</summary>
    /// <exception cref="InvalidDataException">The client speaks no RESP.</exception>
    public async Task ServeAsync(Func<byte[][], bool> answer, CancellationToken cancellationToken)
    {
        while (true)
        {
            var read = await _reader.ReadAsync(cancellationToken);
            var buffer = read.Buffer;
            var goesOn = true;
            await _writing.WaitAsync(cancellationToken);
            try
            {
                while (goesOn && TryRead(ref buffer, out var command))
                {
                    goesOn = command.Length == 0 || answer(command);
                }

                await FlushAsync(cancellationToken);
            }
            finally
            {
                _writing.Release();
            }

            _reader.AdvanceTo(buffer.Start, buffer.End);
            if (!goesOn || read.IsCompleted)
            {
                return;
            }
        }
    }

    /// <summary>Sends a message that is nobody's answer (publish), between answers.</summary>
    public async Task PushAsync(Action<RespConnection> write, CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken);
        try
        {
            write(this);
            await FlushAsync(cancellationToken);
        }
        finally
        {
            _writing.Release();
        }
    }

    public void Ok()
    {
        Line('+', "OK");
    }

    public void Simple(string text)
    {
        Line('+', text);
    }

    public void Error(string text)
    {
        Line('-', text);
    }

    public void Integer(long value)
    {
        Line(':', value.ToString(CultureInfo.InvariantCulture));
    }

    public void Null()
    {
        Line(IsResp3 ? '_' : '$', IsResp3 ? "" : "-1");
    }

    public void Bulk(ReadOnlySpan<byte> value)
    {
        Line('$', value.Length.ToString(CultureInfo.InvariantCulture));
        _answer.Write(value);
        _answer.Write("\r\n"u8);
    }

    public void Bulk(string? value)
    {
        if (value is null)
        {
            Null();
        }
        else
        {
            Bulk(Encoding.UTF8.GetBytes(value));
        }
    }

    public void Array(int count)
    {
        Line('*', count.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>A map of RESP3; RESP2 clients get the flat list of names and values it stands for.</summary>
    public void Map(int count)
    {
        Line(IsResp3 ? '%' : '*', (IsResp3 ? count : count * 2).ToString(CultureInfo.InvariantCulture));
    }

    public void Push(int count)
    {
        Line(IsResp3 ? '>' : '*', count.ToString(CultureInfo.InvariantCulture));
    }

    public async ValueTask DisposeAsync()
    {
        await _reader.CompleteAsync();
        await stream.DisposeAsync();
        _writing.Dispose();
    }

    private async Task FlushAsync(CancellationToken cancellationToken)
    {
        if (_answer.WrittenCount > 0)
        {
            await stream.WriteAsync(_answer.WrittenMemory, cancellationToken);
            _answer.ResetWrittenCount();
        }
    }

    private void Line(char kind, string text)
    {
        Encoding.UTF8.GetBytes($"{kind}{text}\r\n", _answer);
    }

    // Either an array of bulk strings, or (by hand, over telnet) words on a line.
    private static bool TryRead(ref ReadOnlySequence<byte> buffer, out byte[][] command)
    {
        command = [];
        var reader = new SequenceReader<byte>(buffer);
        if (!TryReadLine(ref reader, out var line))
        {
            return false;
        }

        if (line is not ['*', ..])
        {
            command = [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Encoding.UTF8.GetBytes)];
            buffer = buffer.Slice(reader.Position);
            return true;
        }

        var count = Length(line);
        var arguments = new byte[count][];
        for (var i = 0; i < count; i++)
        {
            if (!TryReadLine(ref reader, out var header))
            {
                return false;
            }

            if (header is not ['$', ..])
            {
                throw new InvalidDataException($"Protocol error: expected '$', got '{header}'.");
            }

            var length = Length(header);
            if (reader.Remaining < length + 2)
            {
                return false;
            }

            arguments[i] = new byte[length];
            reader.TryCopyTo(arguments[i]);
            reader.Advance(length + 2);
        }

        command = arguments;
        buffer = buffer.Slice(reader.Position);
        return true;
    }

    private static int Length(string line)
    {
        return int.TryParse(line.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var length) && length <= LongestArgument
            ? length
            : throw new InvalidDataException($"Protocol error: invalid length '{line}'.");
    }

    private static bool TryReadLine(ref SequenceReader<byte> reader, out string line)
    {
        line = "";
        if (!reader.TryReadTo(out ReadOnlySequence<byte> bytes, (byte)'\n'))
        {
            return false;
        }

        line = Encoding.UTF8.GetString(bytes).TrimEnd('\r');
        return true;
    }
}
