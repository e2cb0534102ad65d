using System.Text;
using System.Text.Json;

namespace Rollout.Tests.Support;

/// <summary>
/// Looks for a world's secrets (tokens, sessions, DSNs and their passwords) wherever a run leaves something: process arguments while it goes on, then its
/// output, its journal, all artifacts and the platform's audit report; as they are, percent-encoded and in base64.
/// </summary>
internal sealed class LeakWatch : IAsyncDisposable
{
    private static readonly string[] Names = ["token", "session", "dsn", "redis", "blue", "green"];

    private readonly RehearsalWorld _world;
    private readonly IReadOnlyDictionary<string, string> _secrets;
    private readonly CancellationTokenSource _stop = new();
    private readonly Dictionary<string, string> _seen = [];
    private readonly Task _watching;
    private int _looks;

    public LeakWatch(RehearsalWorld world)
    {
        _world = world;
        _secrets = Collect(world);
        Assert.That(_secrets, Has.Count.GreaterThan(10), "the world has secrets");
        _watching = WatchAsync();
    }

    public async Task RequireNoneAsync(string output)
    {
        await _stop.CancelAsync();
        await _watching;
        Assert.That(_looks, Is.GreaterThan(20), "the processes were looked at while it ran");
        Look("world.json", await File.ReadAllTextAsync(Path.Combine(_world.Folder, "world", "world.json")));
        Assert.That(_seen.Remove("world.json"), "what is looked for is found where it is");
        Look("the output", output);
        foreach (var file in Directory.EnumerateFiles(Path.Combine(_world.Folder, "artifacts"), "*", SearchOption.AllDirectories).Append(Path.Combine(_world.Platform, "docs", "AUDIT_REPORT.md")))
        {
            Look(file, await File.ReadAllTextAsync(file, Encoding.Latin1));
        }

        Look("the journals", await _world.KubectlAsync("get", "configmaps", "-n", "aether-rollouts", "-o", "json"));
        Assert.That(_seen, Is.Empty, "secrets were found");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching;
        _stop.Dispose();
    }

    private static Dictionary<string, string> Collect(RehearsalWorld world)
    {
        var secrets = new Dictionary<string, string>(StringComparer.Ordinal);
        void Add(string name, string value)
        {
            // A password in a DSN or in a Redis address is a secret by itself.
            var password = value.Contains("://", StringComparison.Ordinal) && new Uri(value).UserInfo is { Length: > 0 } user ? Uri.UnescapeDataString(user.Split(':')[^1])
                : value.Split("password=") is [_, var rest] ? rest.Split(',')[0] : value;
            foreach (var form in new[] { password, Uri.EscapeDataString(password), Convert.ToBase64String(Encoding.UTF8.GetBytes(password)) }.Where(f => f.Length >= 12))
            {
                secrets[form] = name;
            }
        }

        void Walk(JsonElement element, string path, string name)
        {
            switch (element.ValueKind)
            {
                case JsonValueKind.Object:
                    foreach (var member in element.EnumerateObject())
                    {
                        Walk(member.Value, $"{path}.{member.Name}", member.Name);
                    }

                    break;
                case JsonValueKind.String when Names.Contains(name) && !path.Contains("live", StringComparison.Ordinal):
                    Add(path, element.GetString()!);
                    break;
            }
        }

        Walk(JsonDocument.Parse(File.ReadAllText(Path.Combine(world.Folder, "world", "world.json"))).RootElement, "world", string.Empty);
        return secrets;
    }

    private async Task WatchAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100), TimeProvider.System);
        try
        {
            do
            {
                foreach (var process in Directory.EnumerateDirectories("/proc").Where(d => char.IsAsciiDigit(Path.GetFileName(d)[0])))
                {
                    try
                    {
                        Look($"{process}'s arguments", await File.ReadAllTextAsync(Path.Combine(process, "cmdline"), _stop.Token));
                    }
                    catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                    {
                        // It has ended meanwhile.
                    }
                }

                _looks++;
            }
            while (await timer.WaitForNextTickAsync(_stop.Token));
        }
        catch (OperationCanceledException)
        {
            // The run is over.
        }
    }

    private void Look(string where, string text)
    {
        foreach (var (secret, name) in _secrets.Where(s => text.Contains(s.Key, StringComparison.Ordinal)))
        {
            _seen[where] = name;
        }
    }
}
