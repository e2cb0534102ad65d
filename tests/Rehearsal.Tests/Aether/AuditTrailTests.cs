using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Aether;
using Rehearsal.Aether.Audit;

namespace Rehearsal.Tests.Aether;

[Parallelizable(ParallelScope.All)]
public sealed class AuditTrailTests
{
    [Test]
    public async Task Rows_form_a_chain_that_can_be_recomputed_from_the_database()
    {
        await using var stand = await StandWithDatabaseAsync();
        var pod = await stand.StartAsync("safe-mode");
        await pod.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "rollout – \"quoted\" é" });
        await pod.PostAsync("/safe_mode/exit");

        var previous = new string('0', 64);
        var rows = 0;
        await using var command = stand.Database.CreateCommand(
            "SELECT actor, action, entity, before::text, after::text, ts, hash, prev_hash FROM audit_log ORDER BY ts");
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
        {
            var entry = new JsonObject
            {
                ["actor"] = reader.GetString(0),
                ["action"] = reader.GetString(1),
                ["entity"] = reader.GetString(2),
                ["before"] = JsonNode.Parse(reader.GetString(3)),
                ["after"] = JsonNode.Parse(reader.GetString(4)),
                ["ip_hash"] = null,
                ["ts"] = AuditTrail.IsoTime(await reader.GetFieldValueAsync<DateTimeOffset>(5)),
                ["sensitive"] = false,
            };
            Assert.That(reader.GetString(7), Is.EqualTo(previous), "prev_hash");
            previous = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(previous + CanonicalJson.Write(entry))));
            Assert.That(reader.GetString(6), Is.EqualTo(previous), "hash");
            rows++;
        }

        Assert.That(rows, Is.EqualTo(2));
        Assert.That(pod.Log, Does.Contain("\\u2013").And.Contain("\"action\":\"safe_mode.enter\""));
    }

    [Test]
    public void Canonical_json_is_what_python_writes()
    {
        var node = new JsonObject { ["b"] = new JsonArray(1, 2.5, true, null), ["a"] = "é\n\"\\\u007f😀" };

        Assert.That(CanonicalJson.Write(node), Is.EqualTo("{\"a\":\"\\u00e9\\n\\\"\\\\\\u007f\\ud83d\\ude00\",\"b\":[1,2.5,true,null]}"));
    }

    [Test]
    public async Task A_read_only_root_loses_the_row_and_keeps_the_line()
    {
        await using var stand = await StandWithDatabaseAsync();
        var hardened = await stand.StartAsync("safe-mode", readOnlyRoot: true);

        var entered = await hardened.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });

        Assert.That(entered.Status, Is.EqualTo(200));
        Assert.That(await stand.CountAsync("audit_log"), Is.Zero);
        Assert.That(hardened.Log, Does.Contain("\"action\":\"safe_mode.enter\"").And.Contain("Read-only file system"));
    }

    [Test]
    public async Task A_mounted_chain_file_lets_the_row_through()
    {
        await using var stand = await StandWithDatabaseAsync();
        var tmp = Path.Join(stand.Directory, "tmp");
        var pod = await stand.StartAsync(
            "safe-mode",
            environment: new() { ["AUDIT_CHAIN_LOG"] = "/tmp/audit/chain.log", ["AUDIT_CHAIN_STATE"] = "/tmp/audit/chain_state.json" },
            mounts: new() { ["/tmp"] = tmp },
            readOnlyRoot: true);

        await pod.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });

        var hash = await stand.AskDatabaseAsync<string>("SELECT hash FROM audit_log");
        Assert.That(await File.ReadAllTextAsync(Path.Join(tmp, "audit", "chain_state.json")), Does.Contain(hash));
        Assert.That((await File.ReadAllLinesAsync(Path.Join(tmp, "audit", "chain.log"))).Single(), Does.Contain(hash));
    }

    [Test]
    public async Task The_migrations_table_shape_loses_the_row()
    {
        await using var stand = await StandWithDatabaseAsync();
        var dsn = await SharedPostgres.DsnAsync($"shape_{Guid.NewGuid():N}");
        await AetherDatabase.PrepareAsync(dsn, [], TimeProvider.System, CancellationToken.None, AuditLogShape.Migration);
        var pod = await stand.StartAsync("safe-mode", environment: new() { ["AUDIT_DATABASE_URL"] = dsn });

        var entered = await pod.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });

        Assert.That(entered.Status, Is.EqualTo(200));
        Assert.That(pod.Log, Does.Contain("Failed to write audit log entry"));
        await using var command = stand.Open(dsn).CreateCommand("SELECT count(event_id) FROM audit_log");
        Assert.That(await command.ExecuteScalarAsync(), Is.EqualTo(0L));
    }

    [Test]
    public async Task Both_trails_can_be_lost_while_the_events_remain()
    {
        await using var stand = await StandWithDatabaseAsync();
        stand.Faults["audit-lost"] = "";
        var safe = await stand.StartAsync("safe-mode");
        var human = await stand.StartAsync("override-service");

        await safe.PostAsync("/safe_mode/enter", new JsonObject { ["reason"] = "freeze" });
        var decided = await human.PostAsync(
            "/override/trade", new JsonObject { ["intent_id"] = "i", ["decision"] = "reject", ["reason"] = "r" });

        Assert.That(decided.Status, Is.EqualTo(201));
        Assert.That(await stand.CountAsync("audit_log"), Is.Zero);
        Assert.That(await stand.CountAsync("acct_company.audit_logs"), Is.Zero);
        Assert.That(await stand.CountAsync("acct_company.events WHERE event_type = 'safe_mode_engaged'"),
            Is.EqualTo(1));
        Assert.That(human.Log, Does.Contain("entries in memory"));
    }

    private static async Task<Stand> StandWithDatabaseAsync()
    {
        var stand = await Stand.CreateAsync();
        await stand.WithDatabaseAsync();
        return stand;
    }
}
