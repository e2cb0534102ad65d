using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Aether;

/// <summary>
/// The exchange's orders. All of them are lines of <c>exchange.jsonl</c>, line N being order N; memory holds only where every
/// thousandth line begins, the resting orders (also in <c>exchange-resting.jsonl</c>) and each account's position (saved every
/// thousand orders in <c>exchange-positions.json</c>, so that a restart reads the last ones only).
/// </summary>
internal sealed class ExchangeBook : IDisposable
{
    private const int Stride = 1000;
    private const decimal StartingDollars = 1_000_000m;

    private readonly Lock _lock = new();
    private readonly string _path;
    private readonly string _positionsPath;
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
        _positionsPath = Path.Join(Path.GetDirectoryName(path), "exchange-positions.json");
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

    public static ExchangeOrder Parse(string line) => Parse(Encoding.UTF8.GetBytes(line));

    public static ExchangeOrder Parse(ReadOnlySpan<byte> line)
    {
        var reader = new Utf8JsonReader(line);
        var order = JsonElement.ParseValue(ref reader);
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

            if (seq % Stride == 0)
            {
                _offsets.Add(_log.Position);
                SavePositions();
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

    /// <summary>Calls back with each whole line and where it ends; a last one that a crash cut short is cut off.</summary>
    private static void ReadLines(FileStream file, Action<ReadOnlySpan<byte>, long> take)
    {
        var buffer = new byte[256 * 1024];
        var held = 0;
        long end = 0;
        file.Position = 0;
        for (int read; (read = file.Read(buffer, held, buffer.Length - held)) > 0;)
        {
            var rest = buffer.AsSpan(0, held + read);
            for (int length; (length = rest.IndexOf((byte)'\n')) >= 0;)
            {
                end += length + 1;
                take(rest[..length], end);
                rest = rest[(length + 1)..];
            }

            held = rest.Length;
            rest.CopyTo(buffer);
            if (held == buffer.Length)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }
        }

        file.SetLength(end);
        file.Position = end;
    }

    private void ReadBack()
    {
        var everRested = new HashSet<string>(StringComparer.Ordinal);
        ReadLines(_restingLog, (bytes, _) =>
        {
            var line = JsonNode.Parse(bytes)!.AsObject();
            if (line["open"] is { } id)
            {
                everRested.Add(id.GetValue<string>());
                _resting[id.GetValue<string>()] = (line["account"]!.GetValue<string>(), line["order"]!.DeepClone().AsObject());
            }
            else
            {
                _resting.Remove(line["closed"]!.GetValue<string>());
            }
        });

        var saved = ReadPositions();
        ReadLines(_log, (bytes, end) =>
        {
            _seq++;
            if (_seq % Stride == 0)
            {
                _offsets.Add(end);
            }

            if (_seq >= saved)
            {
                var order = Parse(bytes);
                _lastTime = order.Time;
                if (_seq > saved && !everRested.Contains(order.TxId))
                {
                    Move(order.Account, order.Pair, order.Side, order.Volume);
                }
            }
        });
    }

    private void SavePositions()
    {
        var positions = new JsonArray([.. _positions.Select(pair => new JsonObject
        {
            ["account"] = pair.Key.Account,
            ["asset"] = pair.Key.Asset,
            ["amount"] = pair.Value,
        })]);
        var beside = _positionsPath + ".new";
        File.WriteAllText(beside, new JsonObject { ["seq"] = _seq, ["positions"] = positions }.ToJsonString());
        File.Move(beside, _positionsPath, overwrite: true);
    }

    /// <returns>Up to which order the saved positions count.</returns>
    private long ReadPositions()
    {
        if (!File.Exists(_positionsPath))
        {
            return 0;
        }

        var saved = JsonNode.Parse(File.ReadAllText(_positionsPath))!;
        foreach (var position in saved["positions"]!.AsArray())
        {
            var key = (position!["account"]!.GetValue<string>(), position["asset"]!.GetValue<string>());
            _positions[key] = position["amount"]!.GetValue<decimal>();
        }

        return saved["seq"]!.GetValue<long>();
    }

    private void Move(string account, string pair, string side, decimal volume)
    {
        var asset = pair.EndsWith("USD", StringComparison.Ordinal) ? "X" + pair[..^3] : pair;
        _positions[(account, asset)] = _positions.GetValueOrDefault((account, asset)) + (side == "buy" ? volume : -volume);
    }
}
