using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;

namespace Rollout.Tests.Support;

/// <summary>A headless Chromium with a profile of its own and one page, spoken to by its DevTools protocol on loopback; no name resolves in it.</summary>
internal sealed class Chromium : IAsyncDisposable
{
    private const string Listening = "DevTools listening on ";

    private static readonly string[] Programs = ["chromium", "chromium-browser", "google-chrome"];

    private readonly Process _process;
    private readonly string _profile;
    private readonly ClientWebSocket _socket = new();
    private readonly ConcurrentDictionary<int, TaskCompletionSource<JsonObject>> _calls = new();
    private readonly ConcurrentQueue<JsonObject> _events = new();
    private readonly CancellationTokenSource _limit = new(TimeSpan.FromMinutes(10));
    private Task _reader = Task.CompletedTask;
    private string? _session;
    private int _number;
    private TaskCompletionSource _loaded = new();

    private Chromium(Process process, string profile)
    {
        _process = process;
        _profile = profile;
    }

    /// <summary>The address of everything that the page has asked for since it was opened.</summary>
    public IReadOnlyList<string> Requests => [.. _events.Where(e => e["method"]?.ToString() == "Network.requestWillBeSent").Select(e => e["params"]!["request"]!["url"]!.ToString())];

    /// <summary>What the browser complained of since the page was opened, as a violated policy.</summary>
    public IReadOnlyList<string> Complaints => [.. _events.Where(e => e["method"]?.ToString() == "Log.entryAdded").Select(e => e["params"]!["entry"]!["text"]!.ToString())];

    /// <summary>Starts it; the test is ignored where there is none.</summary>
    public static async Task<Chromium> StartAsync()
    {
        var program = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .SelectMany(folder => Programs.Select(p => Path.Combine(folder, p))).FirstOrDefault(File.Exists);
        if (program is null)
        {
            Assert.Ignore("No Chromium is on PATH, so nobody looks at the page (Debian: apt-get install chromium).");
        }

        var profile = Directory.CreateTempSubdirectory("rollout-chromium-").FullName;
        var start = new ProcessStartInfo(
            program!,
            [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0", "--hide-scrollbars", $"--user-data-dir={profile}", "about:blank",
            ])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        var chromium = new Chromium(Process.Start(start)!, profile);
        try
        {
            await chromium.ConnectAsync();
            return chromium;
        }
        catch
        {
            await chromium.DisposeAsync();
            throw;
        }
    }

    /// <summary>Opens a file at a window's size, as a reader with this preference sees it.</summary>
    /// <param name="scheme"><c>light</c> or <c>dark</c>.</param>
    public async Task OpenAsync(string file, int width, string scheme)
    {
        await CallAsync("Emulation.setDeviceMetricsOverride", new() { ["width"] = width, ["height"] = 900, ["deviceScaleFactor"] = 1, ["mobile"] = width < 500 });
        await CallAsync("Emulation.setEmulatedMedia", new() { ["media"] = "screen", ["features"] = new JsonArray(new JsonObject { ["name"] = "prefers-color-scheme", ["value"] = scheme }) });
        _events.Clear();
        _loaded = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await CallAsync("Page.navigate", new() { ["url"] = new Uri(file).AbsoluteUri });
        await _loaded.Task.WaitAsync(_limit.Token);
    }

    /// <summary>What an expression comes to in the page.</summary>
    public async Task<JsonNode?> EvaluateAsync(string expression)
    {
        var answer = await CallAsync("Runtime.evaluate", new() { ["expression"] = expression, ["returnByValue"] = true });
        Assert.That(answer["exceptionDetails"], Is.Null, expression);
        return answer["result"]!["value"];
    }

    /// <summary>The whole page as a PNG.</summary>
    public async Task<byte[]> ScreenshotAsync() =>
        Convert.FromBase64String((await CallAsync("Page.captureScreenshot", new() { ["format"] = "png", ["captureBeyondViewport"] = true }))["data"]!.ToString());

    /// <summary>The page as it is printed.</summary>
    public async Task<byte[]> PrintAsync() => Convert.FromBase64String((await CallAsync("Page.printToPDF", new() { ["printBackground"] = false }))["data"]!.ToString());

    public Task EmulatePrintAsync() => CallAsync("Emulation.setEmulatedMedia", new() { ["media"] = "print", ["features"] = new JsonArray() });

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        await _process.WaitForExitAsync();
        await _reader.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _socket.Dispose();
        _process.Dispose();
        _limit.Dispose();
        try
        {
            Directory.Delete(_profile, recursive: true);
        }
        catch (IOException)
        {
            // A child that was killed a moment ago may still have put a file there; the folder is a temporary one.
        }
    }

    private async Task ConnectAsync()
    {
        var said = new ConcurrentQueue<string>();
        var listening = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        _process.ErrorDataReceived += (_, line) =>
        {
            said.Enqueue(line.Data ?? string.Empty);
            if (line.Data is null)
            {
                listening.TrySetResult(null);
            }
            else if (line.Data.StartsWith(Listening, StringComparison.Ordinal))
            {
                listening.TrySetResult(line.Data[Listening.Length..].Trim());
            }
        };
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        var address = await listening.Task.WaitAsync(_limit.Token);
        Assert.That(address, Is.Not.Null, () => $"Chromium did not start: {string.Join('\n', said)}");
        await _socket.ConnectAsync(new Uri(address!), _limit.Token);
        _reader = ReadAsync();
        var target = (await CallAsync("Target.createTarget", new() { ["url"] = "about:blank" }))["targetId"]!.ToString();
        _session = (await CallAsync("Target.attachToTarget", new() { ["targetId"] = target, ["flatten"] = true }))["sessionId"]!.ToString();
        foreach (var domain in new[] { "Page", "Network", "Log", "Runtime" })
        {
            await CallAsync($"{domain}.enable", []);
        }
    }

    private async Task<JsonObject> CallAsync(string method, JsonObject parameters)
    {
        var id = Interlocked.Increment(ref _number);
        var answer = _calls[id] = new TaskCompletionSource<JsonObject>(TaskCreationOptions.RunContinuationsAsynchronously);
        var call = new JsonObject { ["id"] = id, ["method"] = method, ["params"] = parameters };
        if (_session is not null)
        {
            call["sessionId"] = _session;
        }

        await _socket.SendAsync(Encoding.UTF8.GetBytes(call.ToJsonString()), WebSocketMessageType.Text, endOfMessage: true, _limit.Token);
        var answered = await answer.Task.WaitAsync(_limit.Token);
        Assert.That(answered["error"], Is.Null, method);
        return (JsonObject)answered["result"]!;
    }

    private async Task ReadAsync()
    {
        var buffer = new byte[1 << 16];
        using var message = new MemoryStream();
        while (true)
        {
            var part = await _socket.ReceiveAsync(buffer, _limit.Token);
            message.Write(buffer, 0, part.Count);
            if (!part.EndOfMessage)
            {
                continue;
            }

            var read = (JsonObject)JsonNode.Parse(message.ToArray())!;
            message.SetLength(0);
            if (read["id"] is { } id)
            {
                _calls[id.GetValue<int>()].TrySetResult(read);
                continue;
            }

            _events.Enqueue(read);
            if (read["method"]?.ToString() == "Page.loadEventFired")
            {
                _loaded.TrySetResult();
            }
        }
    }
}
