using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Rehearsal.World;

namespace Rehearsal.Tests.World;

/// <summary>A world's directory that is removed afterwards, its port book, its faults, and a clock that stands still until told.</summary>
internal sealed class TestPlace : IDisposable
{
    public TestPlace()
    {
        Directory = System.IO.Directory.CreateTempSubdirectory("rehearsal-world-").FullName;
        Faults = Faults.Open(Directory);
        Clock = new FakeTimeProvider(new DateTimeOffset(2026, 11, 5, 9, 0, 0, TimeSpan.Zero));
    }

    public string Directory { get; }

    public Faults Faults { get; }

    public FakeTimeProvider Clock { get; }

    public Effects Effects { get; } = new();

    /// <summary>Ports are read anew from the directory, as a restarted world would.</summary>
    public Place Place => new(Directory, KeptPorts.Open(Directory), Faults.Argument, Clock) { Effect = Effects.Count };

    /// <summary>The same with a clock that runs, for clients with time-outs of their own.</summary>
    public Place LivePlace => Place with { Time = TimeProvider.System };

    public void Dispose()
    {
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    public static HttpClient Client(Uri address, string? token)
    {
        var client = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, UseProxy = false })
        {
            BaseAddress = new Uri(address.AbsoluteUri.TrimEnd('/') + "/"),
            Timeout = Patience.Limit,
        };
        client.DefaultRequestHeaders.Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token);
        return client;
    }
}

internal static class TestAnswers
{
    public static async Task<JsonNode> JsonAsync(this HttpResponseMessage answer)
    {
        return JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
    }

    public static StringContent Json(this JsonObject body)
    {
        return new StringContent(body.ToJsonString(), System.Text.Encoding.UTF8, "application/json");
    }
}
