using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Aether;

/// <summary>
/// The exchange's orders. All of them are lines of <c>exchange.jsonl</c>; memory holds only where every thousandth line begins, the
/// resting orders (also in <c>exchange-resting.jsonl</c>) and each account's position.
/// </summary>
internal sealed class ExchangeBook : IDisposable
{
    private const int Stride = 1000;
    private const decimal StartingDollars = 1_000_000m;

    private readonly Lock _lock = new();
    private readonly string _path;
    private readonly FileStream _log;
    private readonly FileStream _restingLog;
    private readonly List<long> _offsets = [0];
    private readonly Dictionary<string, (string Account, JsonObject Order)> _resting = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Account, string Asset), decimal> _positions = [];
    private DateTimeOffset _lastTime;
    private long _seq;

    private ExchangeBook(string path, FileStream log, FileStream restingLog)
    {
        _path = path;
        _log = log;
        _restingLog = restingLog;
    }

    public static ExchangeBook Open(string directory)
    {
        Directory.CreateDirectory(directory);
        var path = Path.Join(directory, "exchange.jsonl");

        // Unbuffered: a line is in the file before its order is answered, whatever happens to this process.
        var log = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        var restingPath = Path.Join(directory, "exchange-resting.jsonl");
        var restingLog = new FileStream(restingPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        var book = new ExchangeBook(path, log, restingLog);
        book.ReadBack();
        return book;
    }

    public static ExchangeOrder Parse(string line)
    {
        using var document = JsonDocument.Parse(line);
        var order = document.RootElement;
        return new ExchangeOrder(
            order.GetProperty("seq").GetInt64(),
            order.GetProperty("ts").GetDateTimeOffset(),
            order.GetProperty("slot").GetString()!,
            order.GetProperty("namespace").GetString()!,
            order.GetProperty("pod").GetString()!,
            order.GetProperty("account").GetString()!,
            order.GetProperty("pair").GetString()!,
            order.GetProperty("side").GetString()!,
            order.GetProperty("volume").GetDecimal(),
            order.GetProperty("txid").GetString()!);
    }

    /// <returns>The order's id.</returns>
    public string Add(
        TimeProvider time,
        string @namespace,
        string pod,
        string account,
        string pair,
        string side,
        decimal volume,
        decimal price,
        bool rests)
    {
        lock (_lock)
        {
            // Stamped under the lock, so that seq and time tell the same order.
            var now = time.GetUtcNow();
            _lastTime = now > _lastTime ? now : _lastTime;
            var seq = _seq + 1;
            var id = string.Create(CultureInfo.InvariantCulture, $"O{_lastTime.UtcTicks:X}-{seq:X}");
            var line = new JsonObject
            {
                ["seq"] = seq,
                ["ts"] = _lastTime.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'", CultureInfo.InvariantCulture),
                ["slot"] = @namespace[(@namespace.LastIndexOf('-') + 1)..],
                ["namespace"] = @namespace,
                ["pod"] = pod,
                ["account"] = account,
                ["pair"] = pair,
                ["side"] = side,
                ["volume"] = volume,
                ["txid"] = id,
            };
            Append(_log, line);
            _seq = seq;
            if (seq % Stride == 0)
            {
                _offsets.Add(_log.Position);
            }

            if (rests)
            {
                var order = new JsonObject { ["pair"] = pair, ["type"] = side, ["price"] = price, ["vol"] = volume, ["status"] = "open" };
                _resting[id] = (account, order);
                Append(_restingLog, new JsonObject { ["open"] = id, ["account"] = account, ["order"] = order.DeepClone() });
            }
            else
            {
                Move(account, pair, side, volume);
            }

            return id;
        }
    }

    /// <returns>False when no such order of the account rests.</returns>
    public bool Cancel(string account, string id)
    {
        lock (_lock)
        {
            if (!_resting.TryGetValue(id, out var order) || order.Account != account)
            {
                return false;
            }

            _resting.Remove(id);
            Append(_restingLog, new JsonObject { ["closed"] = id });
            return true;
        }
    }

    public JsonObject OpenOrders(string account)
    {
        lock (_lock)
        {
            return new JsonObject(_resting.Where(pair => pair.Value.Account == account)
                .Select(pair => KeyValuePair.Create<string, JsonNode?>(pair.Key, pair.Value.Order.DeepClone())));
        }
    }

    public JsonObject Balance(string account)
    {
        lock (_lock)
        {
            var balance = new JsonObject { ["ZUSD"] = StartingDollars.ToString(CultureInfo.InvariantCulture) };
            var own = _positions.Where(pair => pair.Key.Account == account);
            foreach (var ((_, asset), amount) in own.OrderBy(pair => pair.Key.Asset, StringComparer.Ordinal))
            {
                balance[asset] = amount.ToString(CultureInfo.InvariantCulture);
            }

            return balance;
        }
    }

    public IEnumerable<string> LinesSince(long seq)
    {
        long offset;
        long last;
        var skip = Math.Max(0, seq);
        lock (_lock)
        {
            last = _seq;
            var at = (int)Math.Min(skip / Stride, _offsets.Count - 1);
            offset = _offsets[at];
            skip -= (long)at * Stride;
        }

        var remaining = last - Math.Max(0, seq);
        if (remaining <= 0)
        {
            yield break;
        }

        using var reader = new StreamReader(new FileStream(_path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        reader.BaseStream.Position = offset;
        while (skip-- > 0)
        {
            _ = reader.ReadLine();
        }

        while (remaining-- > 0 && reader.ReadLine() is { } line)
        {
            yield return line;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _log.Dispose();
            _restingLog.Dispose();
        }
    }

    private static void Append(FileStream file, JsonObject line) => file.Write(Encoding.UTF8.GetBytes(line.ToJsonString() + "\n"));

    /// <summary>The whole lines of a file; a last one that a crash cut short is cut off.</summary>
    private static IEnumerable<(string Line, long End)> WholeLines(FileStream file)
    {
        var buffer = new byte[64 * 1024];
        var line = new MemoryStream();
        long end = 0;
        file.Position = 0;
        for (int read; (read = file.Read(buffer)) > 0;)
        {
            foreach (var b in buffer.AsMemory(0, read).ToArray())
            {
                line.WriteByte(b);
                if (b == (byte)'\n')
                {
                    end += line.Length;
                    yield return (Encoding.UTF8.GetString(line.GetBuffer(), 0, (int)line.Length - 1), end);
                    line.SetLength(0);
                }
            }
        }

        file.SetLength(end);
        file.Position = end;
    }

    private void ReadBack()
    {
        foreach (var (text, _) in WholeLines(_restingLog))
        {
            var line = JsonNode.Parse(text)!.AsObject();
            if (line["open"] is { } id)
            {
                _resting[id.GetValue<string>()] = (line["account"]!.GetValue<string>(), line["order"]!.DeepClone().AsObject());
            }
            else
            {
                _resting.Remove(line["closed"]!.GetValue<string>());
            }
        }

        foreach (var (text, end) in WholeLines(_log))
        {
            var order = Parse(text);
            _seq = order.Seq;
            _lastTime = order.Time;
            if (_seq % Stride == 0)
            {
                _offsets.Add(end);
            }

            if (!_resting.ContainsKey(order.TxId))
            {
                Move(order.Account, order.Pair, order.Side, order.Volume);
            }
        }
    }

    private void Move(string account, string pair, string side, decimal volume)
    {
        var asset = pair.EndsWith("USD", StringComparison.Ordinal) ? "X" + pair[..^3] : pair;
        _positions[(account, asset)] = _positions.GetValueOrDefault((account, asset)) + (side == "buy" ? volume : -volume);
    }
}
