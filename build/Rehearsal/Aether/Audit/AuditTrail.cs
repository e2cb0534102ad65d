using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Audit;

/// <summary>
/// The platform's two audit trails, both fail-open: what cannot be written is logged and forgotten. Trail A goes to standard
/// output, then to the pod's hash chain file, then to <c>audit_log</c>, and a step that fails keeps the later ones from being reached.
/// </summary>
internal sealed class AuditTrail(Pod pod) : IDisposable
{
    private const string Genesis = "0000000000000000000000000000000000000000000000000000000000000000";
    private const string CacheDirectory = "/root/.cache/aether";

    private readonly SemaphoreSlim _turn = new(1);
    private readonly ConcurrentQueue<JsonObject> _unwritten = new();

    /// <summary>An instant as Python's <c>isoformat</c> writes it.</summary>
    public static string IsoTime(DateTimeOffset instant)
    {
        var micros = instant.ToUniversalTime();
        var format = micros.Ticks % TimeSpan.TicksPerSecond / 10 == 0
            ? "yyyy-MM-dd'T'HH:mm:ss'+00:00'"
            : "yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'";
        return micros.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>Trail A.</summary>
    public async Task RecordAsync(string actor, string action, string entity, JsonNode? before, JsonNode? after, CancellationToken ct)
    {
        await _turn.WaitAsync(ct);
        try
        {
            // PostgreSQL keeps microseconds: what is hashed must be what can be read back.
            var now = pod.Time.GetUtcNow();
            now = now.AddTicks(-(now.Ticks % 10));
            var entry = new JsonObject
            {
                ["actor"] = actor,
                ["action"] = action,
                ["entity"] = entity,
                ["before"] = before?.DeepClone(),
                ["after"] = after?.DeepClone(),
                ["ip_hash"] = null,
                ["ts"] = IsoTime(now),
                ["sensitive"] = false,
            };
            pod.Log(CanonicalJson.Write(entry));
            if (pod.World.Fault("audit-lost") is not null)
            {
                throw new IOException("[Errno 30] Read-only file system");
            }

            var previous = await LastHashAsync(ct);
            var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(previous + CanonicalJson.Write(entry))));
            entry["hash"] = hash;
            entry["prev_hash"] = previous;
            await AppendAsync(entry, hash, ct);
            await InsertAsync(entry, now, ct);
        }
        catch (Exception failure)
            when (failure is IOException or UnauthorizedAccessException or NpgsqlException or InvalidOperationException)
        {
            pod.Log($"ERROR:    Failed to write audit log entry: {failure.Message}");
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Trail B, in the account's schema; in process memory, and so lost with the process, when the database fails.</summary>
    public async Task RecordForAccountAsync(
        string account, string actor, string action, string target, JsonObject payload, CancellationToken ct)
    {
        var id = Guid.NewGuid().ToString();
        var entry = new JsonObject
        {
            ["id"] = id,
            ["actor"] = actor,
            ["action"] = action,
            ["target"] = target,
            ["created_at"] = IsoTime(pod.Time.GetUtcNow()),
            ["account_id"] = account,
            ["payload"] = payload.DeepClone(),
        };
        try
        {
            if (pod.World.Fault("audit-lost") is not null)
            {
                throw new InvalidOperationException("connection is closed");
            }

            await new AccountStore(pod).AddAuditAsync(account, id, entry, ct);
        }
        catch (Exception failure) when (failure is NpgsqlException or InvalidOperationException)
        {
            _unwritten.Enqueue(entry);
            pod.Log($"WARNING:  Audit store unavailable, {_unwritten.Count} entries in memory: {failure.Message}");
        }
    }

    public void Dispose() => _turn.Dispose();

    private string ChainState => pod.WritablePath(pod.Env("AUDIT_CHAIN_STATE") ?? CacheDirectory + "/audit_chain_state.json");

    private string ChainLog => pod.WritablePath(pod.Env("AUDIT_CHAIN_LOG") ?? CacheDirectory + "/audit_chain.log");

    private async Task<string> LastHashAsync(CancellationToken ct)
    {
        if (!File.Exists(ChainState))
        {
            return Genesis;
        }

        try
        {
            return JsonNode.Parse(await File.ReadAllTextAsync(ChainState, ct))?["last_hash"]?.GetValue<string>() ?? Genesis;
        }
        catch (JsonException)
        {
            throw new IOException($"{ChainState} is not JSON");
        }
    }

    private async Task AppendAsync(JsonObject entry, string hash, CancellationToken ct)
    {
        await File.AppendAllTextAsync(ChainLog, CanonicalJson.Write(entry) + "\n", ct);
        await File.WriteAllTextAsync(ChainState, new JsonObject { ["last_hash"] = hash }.ToJsonString(), ct);
    }

    private async Task InsertAsync(JsonObject entry, DateTimeOffset at, CancellationToken ct)
    {
        var dsn = pod.Env("AUDIT_DATABASE_URL", "DATABASE_URL") ?? throw new InvalidOperationException("AUDIT_DATABASE_URL is not set");
        await using var command = pod.World.Databases.Open(dsn).CreateCommand("""
            INSERT INTO audit_log (actor, action, entity, before, after, ts, hash, prev_hash)
            VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6, $7, $8)
            """);
        command.Parameters.Add(new() { Value = entry["actor"]!.GetValue<string>() });
        command.Parameters.Add(new() { Value = entry["action"]!.GetValue<string>() });
        command.Parameters.Add(new() { Value = entry["entity"]!.GetValue<string>() });
        command.Parameters.Add(new() { Value = entry["before"]?.ToJsonString() ?? "null" });
        command.Parameters.Add(new() { Value = entry["after"]?.ToJsonString() ?? "null" });
        command.Parameters.Add(new() { Value = at });
        command.Parameters.Add(new() { Value = entry["hash"]!.GetValue<string>() });
        command.Parameters.Add(new() { Value = entry["prev_hash"]!.GetValue<string>() });
        await command.ExecuteNonQueryAsync(ct);
    }
}
