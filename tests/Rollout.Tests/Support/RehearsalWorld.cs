using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using Rollout.Traffic;

namespace Rollout.Tests.Support;

/// <summary>How a call of the program ended.</summary>
public sealed record CallResult(string Arguments, int ExitCode, string Output, string Error)
{
    /// <summary>How long it lived after the signal that a test sent it.</summary>
    public TimeSpan AfterSignal { get; init; }

    /// <summary>Everything that was printed, for a failing test's message.</summary>
    public string Everything => $"Rollout {Arguments} ended with {ExitCode}\n{Output}\n{Error}";
}

/// <summary>A call of the program that goes on.</summary>
public sealed record StoppableRun(int ProcessId, Task<CallResult> Ended)
{
    /// <param name="name">As kill(1) names it.</param>
    public void Signal(string name)
    {
        using var kill = Process.Start("kill", [$"-{name}", $"{ProcessId}"]);
        kill.WaitForExit();
    }
}

/// <summary>
/// One embedded world for all tests that want one, in a directory of its own. The program is called as a person calls it: as a process, with
/// its exit code, its console and its signals.
/// </summary>
public sealed class RehearsalWorld
{
    /// <summary>The release that the tour through the playbook rolls out.</summary>
    public const string Release = "v2026.11.1";

    private static readonly SemaphoreSlim Starting = new(1, 1);
    private static RehearsalWorld? _shared;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(20) };
    private readonly JsonElement _facts;

    private RehearsalWorld(string folder)
    {
        Folder = folder;
        _facts = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "world", "world.json"))).RootElement;
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", _facts.GetProperty("control").GetProperty("token").GetString());
    }

    public string Folder { get; }

    /// <summary>The platform checkout that the world brings.</summary>
    public string Platform => _facts.GetProperty("platform").GetString()!;

    /// <summary>Where the tour's release leaves its files.</summary>
    public string Artifacts => Path.Combine(Folder, "artifacts", "embedded", Release);

    /// <summary>The world that all tests share; started by the first that asks.</summary>
    public static async Task<RehearsalWorld> SharedAsync()
    {
        await Starting.WaitAsync();
        try
        {
            return _shared ??= await StartAsync();
        }
        finally
        {
            Starting.Release();
        }
    }

    public static async Task<RehearsalWorld> StartAsync()
    {
        var folder = Directory.CreateTempSubdirectory("aether-world-").FullName;
        var up = await CallAsync(folder, ["--target=RehearsalUp"], null);
        Assert.That(up.ExitCode, Is.Zero, () => up.Everything + Log(folder));
        return new RehearsalWorld(folder);
    }

    public static async Task StopSharedAsync()
    {
        if (_shared is not null)
        {
            await _shared.StopAsync();
            _shared = null;
        }
    }

    public async Task StopAsync()
    {
        await CallAsync(Folder, ["--target=RehearsalDown"], null);
        _http.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    /// <summary>Calls the program for the tour's release.</summary>
    public Task<CallResult> RunAsync(params string[] arguments) => CallAsync(Folder, [.. arguments, $"--release={Release}"], null);

    /// <summary>Calls the program with exactly these arguments.</summary>
    public Task<CallResult> CallAsync(params string[] arguments) => CallAsync(Folder, arguments, null);

    /// <summary>Calls the program for the tour's release and interrupts it (SIGINT) when it prints the text.</summary>
    public Task<CallResult> InterruptAsync(string when, params string[] arguments) => CallAsync(Folder, [.. arguments, $"--release={Release}"], when);

    /// <summary>Calls the program and sends it a signal when it prints the text.</summary>
    /// <param name="signal">As kill(1) names it: <c>KILL</c>, <c>TERM</c>, <c>INT</c>; several, with blanks between, one after the other.</param>
    public Task<CallResult> SignalAsync(string signal, string when, params string[] arguments) => CallAsync(Folder, arguments, when, signal);

    /// <summary>What <c>Status --json</c> says of the tour's release.</summary>
    public async Task<JsonObject> StatusAsync()
    {
        var status = await RunAsync("--target=Status", "--json");
        Assert.That(status.ExitCode, Is.Zero, () => status.Everything);
        return JsonNode.Parse(status.Output.Split('\n').First(l => l.StartsWith('{')))!.AsObject();
    }

    /// <summary>The steps that the journal calls done.</summary>
    public async Task<IReadOnlyList<string>> DoneAsync() => [.. (await StatusAsync())["done"]!.AsArray().Select(s => s!.GetValue<string>())];

    /// <summary>The tour's journal, from its mirror.</summary>
    public IReadOnlyList<JsonObject> Journal() => File.Exists(Path.Combine(Artifacts, "journal.jsonl"))
        ? [.. File.ReadLines(Path.Combine(Artifacts, "journal.jsonl")).Select(l => JsonNode.Parse(l)!.AsObject())]
        : [];

    public async Task SetFaultAsync(string name, string argument = "") =>
        (await _http.PutAsync(Control($"/faults/{name}"), new StringContent(argument))).EnsureSuccessStatusCode();

    /// <summary>Waits until the cluster holds the journal's write that the fault <c>cluster-hold</c> names.</summary>
    public async Task HeldAsync()
    {
        var code = 204;
        for (var tries = 0; tries < 8 && code == 204; tries++)
        {
            using var held = await _http.GetAsync(Control("/cluster/held?wait=15"));
            code = (int)held.StatusCode;
        }

        Assert.That(code, Is.EqualTo(200), "the cluster holds no write: the run never came to it");
    }

    public async Task ClearFaultsAsync() => (await _http.DeleteAsync(Control("/faults"))).EnsureSuccessStatusCode();

    /// <summary>The slots of the exchange's orders after a sequence number, oldest first.</summary>
    public async Task<IReadOnlyList<(long Sequence, string Slot)>> OrdersAsync(long after = 0)
    {
        var lines = (await _http.GetStringAsync(Control($"/exchange/log?after={after}"))).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return [.. lines.Select(l => JsonDocument.Parse(l).RootElement).Select(o => (o.GetProperty("seq").GetInt64(), o.GetProperty("slot").GetString()!))];
    }

    /// <summary>How many hosts' records point at each slot, asked of the DNS provider itself.</summary>
    public async Task<IReadOnlyDictionary<string, int>> HostsBySlotAsync()
    {
        using var records = await LinodeAsync(HttpMethod.Get, $"{await ZoneAsync()}/records?page_size=500");
        var addresses = new[] { "blue", "green" }.ToDictionary(s => _facts.GetProperty("slots").GetProperty(s).GetProperty("address").GetString()!, s => s);
        return records.RootElement.GetProperty("data").EnumerateArray().Where(r => r.GetProperty("type").GetString() == "A")
            .Where(r => addresses.ContainsKey(r.GetProperty("target").GetString()!))
            .GroupBy(r => addresses[r.GetProperty("target").GetString()!]).ToDictionary(g => g.Key, g => g.Count());
    }

    /// <summary>The world's Linode API and its token.</summary>
    public (Uri Api, Secret Token) Linode => (new Uri(_facts.GetProperty("dns").GetProperty("api").GetString()!), new Secret(_facts.GetProperty("dns").GetProperty("token").GetString()!));

    /// <summary>Makes every production host a CNAME of one name, which gets live's address.</summary>
    public async Task AliasHostsAsync(string label, int ttl)
    {
        var zone = await ZoneAsync();
        using var records = await LinodeAsync(HttpMethod.Get, $"{zone}/records?page_size=500");
        var hosts = records.RootElement.GetProperty("data").EnumerateArray().Where(r => r.GetProperty("type").GetString() == "A").ToList();
        using var live = await LinodeAsync(HttpMethod.Post, $"{zone}/records", new { type = "A", name = label, target = hosts[0].GetProperty("target").GetString(), ttl_sec = ttl });
        foreach (var host in hosts)
        {
            using var gone = await LinodeAsync(HttpMethod.Delete, $"{zone}/records/{host.GetProperty("id").GetInt64()}");
            using var alias = await LinodeAsync(
                HttpMethod.Post,
                $"{zone}/records",
                new { type = "CNAME", name = host.GetProperty("name").GetString(), target = $"{label}.{_facts.GetProperty("dns").GetProperty("zone").GetString()}", ttl_sec = 300 });
        }
    }

    private async Task<string> ZoneAsync()
    {
        using var domains = await LinodeAsync(HttpMethod.Get, "/domains");
        var name = _facts.GetProperty("dns").GetProperty("zone").GetString();
        return $"/domains/{domains.RootElement.GetProperty("data").EnumerateArray().Single(d => d.GetProperty("domain").GetString() == name).GetProperty("id").GetInt64()}";
    }

    private async Task<JsonDocument> LinodeAsync(HttpMethod method, string path, object? body = null)
    {
        var dns = _facts.GetProperty("dns");
        using var request = new HttpRequestMessage(method, dns.GetProperty("api").GetString() + path);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", dns.GetProperty("token").GetString());
        request.Content = body is null ? null : JsonContent.Create(body);
        using var answer = await _http.SendAsync(request);
        return JsonDocument.Parse(await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync());
    }

    /// <summary>A client of the world's production hosts, as <c>Rehearse</c> has one.</summary>
    public async Task<ClientPlan> ClientAsync(int rate)
    {
        var hosts = (await KubectlAsync("get", "ingress", "-n", "aether-blue", "-o", "jsonpath={.items[*].spec.rules[*].host}")).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return new ClientPlan
        {
            Hosts = [.. hosts.Where(h => h.Split('.').Length == 4).Order(StringComparer.Ordinal)],
            OrdersHost = hosts.First(h => h.StartsWith("oms.aether", StringComparison.Ordinal)),
            Slots = [.. _facts.GetProperty("slots").EnumerateObject().Select(s => new ClientSlot(
                s.Name, s.Value.GetProperty("address").GetString()!, new Secret(s.Value.GetProperty("session").GetString()!)))],
            NameServers = [.. _facts.GetProperty("dns").GetProperty("nameServers").EnumerateArray().Select(s => s.GetString()!)],
            HttpsPort = _facts.GetProperty("httpsPort").GetInt32(),
            CertificateAuthority = _facts.GetProperty("certificateAuthority").GetString(),
            Rate = rate,
        };
    }

    /// <summary>Runs kubectl against the world's cluster.</summary>
    public Task<string> KubectlAsync(params string[] arguments) => ToolAsync(ToolPath("kubectl"), arguments);

    /// <summary>Runs helm against the world's cluster.</summary>
    public async Task<string> HelmAsync(params string[] arguments) => await ToolAsync(await RealTools.HelmAsync(), arguments);

    private async Task<string> ToolAsync(string tool, string[] arguments)
    {
        var result = await StartProcessAsync(tool, ["--kubeconfig", Path.Combine(Folder, "world", "kubeconfig"), .. arguments], Folder, null);
        Assert.That(result.ExitCode, Is.Zero, () => result.Everything);
        return result.Output;
    }

    /// <summary>What took place at the doubles since the world's start, counted.</summary>
    public Task<string> EffectsAsync() => _http.GetStringAsync(Control("/effects"));

    /// <summary>Calls the program as a process that can be stopped and continued.</summary>
    public StoppableRun StartStoppable(params string[] arguments)
    {
        var started = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var ended = StartProcessAsync(
            Program(), [.. arguments, $"--directory={Path.Combine(Folder, "world")}", $"--artifacts={Path.Combine(Folder, "artifacts")}"], Repository.Root, null, started: started);
        return new StoppableRun(started.Task.GetAwaiter().GetResult(), ended);
    }

    /// <summary>A release's journal, as the cluster has it.</summary>
    public Task<string> JournalAsync(string release) =>
        KubectlAsync("get", "configmap", $"rollout-{release}", "-n", "aether-rollouts", "-o", "jsonpath={.data.journal\\.jsonl}");

    /// <summary>Puts a journal into the cluster that no run wrote.</summary>
    public async Task CreateJournalAsync(string release, string text, string head)
    {
        var file = Path.Combine(Folder, "journal.json");
        await File.WriteAllTextAsync(file, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject
            {
                ["name"] = $"rollout-{release}",
                ["namespace"] = "aether-rollouts",
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "aether-rollout" },
                ["annotations"] = new JsonObject { ["aether.io/release"] = release, ["aether.io/head"] = head },
            },
            ["data"] = new JsonObject { ["journal.jsonl"] = text },
        }.ToJsonString());
        await KubectlAsync("create", "-f", file);
    }

    /// <summary>Runs SQL on the platform's database.</summary>
    public async Task SqlAsync(string sql)
    {
        var uri = new Uri(_facts.GetProperty("database").GetProperty("dsn").GetString()!);
        var user = uri.UserInfo.Split(':');
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder
        {
            Host = uri.Host,
            Port = uri.Port,
            Database = uri.AbsolutePath.TrimStart('/'),
            Username = Uri.UnescapeDataString(user[0]),
            Password = user.Length > 1 ? Uri.UnescapeDataString(user[1]) : null,
        }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Calls the program with variables of its environment beside these arguments.</summary>
    public Task<CallResult> CallWithAsync(IReadOnlyDictionary<string, string> variables, params string[] arguments) => CallOnceAsync(Folder, arguments, variables);

    /// <summary>Calls the program where no world is wanted; its files would go into the folder.</summary>
    public static Task<CallResult> CallOnceAsync(string folder, string[] arguments, IReadOnlyDictionary<string, string>? variables = null) =>
        StartProcessAsync(
            Program(),
            arguments is [] or ["--tree" or "--description" or "--version"] ? arguments : [.. arguments, $"--directory={Path.Combine(folder, "world")}", $"--artifacts={Path.Combine(folder, "artifacts")}"],
            Repository.Root,
            null,
            variables);

    /// <summary>Where a tool lies that the world is called with.</summary>
    public static string ToolPath(string name)
    {
        var folders = new[] { Environment.GetEnvironmentVariable("ROLLOUT_TOOLS") }.Concat((Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator));
        return folders.Where(f => !string.IsNullOrEmpty(f)).Select(f => Path.Combine(f!, name)).First(File.Exists);
    }

    private static string Log(string folder)
    {
        var log = Path.Combine(folder, "world", "rehearsal.log");
        return File.Exists(log) ? File.ReadAllText(log) : "(no log)";
    }

    private static Task<CallResult> CallAsync(string folder, string[] arguments, string? interruptWhen, string signal = "INT")
    {
        return StartProcessAsync(
            Program(), [.. arguments, $"--directory={Path.Combine(folder, "world")}", $"--artifacts={Path.Combine(folder, "artifacts")}"], Repository.Root, interruptWhen, signal: signal);
    }

    // …/tests/Rollout.Tests/bin/CONFIGURATION/net10.0/ → …/build/Rollout/bin/CONFIGURATION/net10.0/
    private static string Program()
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        return Repository.PathOf("build", "Rollout", "bin", here.Parent!.Name, here.Name, "Rollout");
    }

    private static async Task<CallResult> StartProcessAsync(
        string program, string[] arguments, string workingDirectory, string? interruptWhen, IReadOnlyDictionary<string, string>? variables = null, string signal = "INT", TaskCompletionSource<int>? started = null)
    {
        var start = new ProcessStartInfo(program)
        {
            WorkingDirectory = workingDirectory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var variable in start.Environment.Keys.Where(k => k.StartsWith("GITHUB_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(variable);
        }

        foreach (var (name, value) in variables ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        started?.SetResult(process.Id);
        process.StandardInput.Close();
        var output = new StringBuilder();
        var error = process.StandardError.ReadToEndAsync();
        var interrupted = false;
        var signalled = new Stopwatch();
        while (await process.StandardOutput.ReadLineAsync() is { } line)
        {
            output.AppendLine(line);
            if (!interrupted && interruptWhen is not null && line.Contains(interruptWhen, StringComparison.Ordinal))
            {
                interrupted = true;
                signalled.Start();
                foreach (var name in signal.Split(' '))
                {
                    using var kill = Process.Start("kill", [$"-{name}", $"{process.Id}"]);
                    await kill.WaitForExitAsync();
                }
            }
        }

        await process.WaitForExitAsync();
        return new CallResult(string.Join(' ', arguments), process.ExitCode, output.ToString(), await error) { AfterSignal = signalled.Elapsed };
    }

    private Uri Control(string path) => new(new Uri(_facts.GetProperty("control").GetProperty("api").GetString()!), path);
}
