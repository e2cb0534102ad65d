using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

/// <summary>What a request was answered with.</summary>
internal sealed record Reply(int Code, string Text, HttpResponseHeaders Headers, string? ContentType)
{
    public JsonObject Json => (JsonObject)JsonNode.Parse(Text)!;

    public string? this[string path] => Read(Json, path);

    /// <summary>The text at a dotted path, numbers as list indexes; null when there is nothing.</summary>
    public static string? Read(JsonNode? node, string path)
    {
        foreach (var part in path.Split('.'))
        {
            node = node switch
            {
                JsonObject map => map[part],
                JsonArray list when int.TryParse(part, out var index) && index < list.Count => list[index],
                _ => null,
            };
        }

        return node is JsonValue value && value.TryGetValue<string>(out var text) ? text : node?.ToJsonString();
    }
}

/// <summary>An API server on a free port with its own directory, and a client that trusts it.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private readonly X509Certificate2 _authority;

    private TestCluster(string directory, ObjectStore store, ApiServer server)
    {
        DirectoryPath = directory;
        Store = store;
        Server = server;
        _authority = X509Certificate2.CreateFromPem(server.CertificateAuthority);
        Client = NewClient(server.Token);
    }

    public string DirectoryPath { get; }

    public ObjectStore Store { get; }

    public ApiServer Server { get; }

    public HttpClient Client { get; }

    /// <param name="from">A directory whose objects the server begins with, as a server that was started again would.</param>
    public static async Task<TestCluster> StartAsync(
        NodeStreams? node = null, string? from = null, Func<string, string?>? fault = null, TimeProvider? time = null)
    {
        var directory = Directory.CreateTempSubdirectory("cluster-").FullName;
        if (from is not null)
        {
            await using var source = new FileStream(
                Path.Combine(from, "objects.journal"),
                FileMode.Open,
                FileAccess.Read,
                FileShare.ReadWrite);
            await using var target = File.Create(Path.Combine(directory, "objects.journal"));
            await source.CopyToAsync(target);
        }

        time ??= TimeProvider.System;
        var store = new ObjectStore(time, directory);
        var options = new ApiServerOptions { Directory = directory, Node = node, Fault = fault ?? (_ => null) };
        var server = await ApiServer.StartAsync(options, store, time, CancellationToken.None);
        var cluster = new TestCluster(directory, store, server);
        if (from is null)
        {
            cluster.Store.Create("", "namespaces", Object("""{"metadata":{"name":"test"}}"""));
        }

        return cluster;
    }

    public static JsonObject Object(string json) => (JsonObject)JsonNode.Parse(json)!;

    /// <summary>A Deployment's JSON, as small as it may be.</summary>
    public static string Deployment(string name, int replicas = 1) => $$$$"""
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"{{{{name}}}}"},"spec":{"replicas":{{{{replicas}}}},"selector":{"matchLabels":{"app":"{{{{name}}}}"}},
         "template":{"metadata":{"labels":{"app":"{{{{name}}}}"}},"spec":{"containers":[{"name":"web","image":"rehearsal/web:1"}]} } } }
        """;

    public HttpClient NewClient(string? token)
    {
        var handler = new SocketsHttpHandler { AllowAutoRedirect = false };
        handler.SslOptions.CertificateChainPolicy = Trust();
        var client = new HttpClient(handler) { BaseAddress = Server.Address };
        if (token is not null)
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }

        return client;
    }

    /// <summary>Whether the server's own authority signed the certificate.</summary>
    public bool Trusts(X509Certificate? certificate)
    {
        using var chain = new X509Chain { ChainPolicy = Trust() };
        return certificate is X509Certificate2 whole && chain.Build(whole);
    }

    private X509ChainPolicy Trust()
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.Add(_authority);
        return policy;
    }

    public Task<Reply> GetAsync(string target, string accept = "application/json") => SendAsync("GET", target, null, accept: accept);

    public Task<Reply> PostAsync(string target, string body) => SendAsync("POST", target, body);

    public Task<Reply> PatchAsync(string target, string kind, string body) =>
        SendAsync("PATCH", target, body, kind == "apply" ? "application/apply-patch+yaml" : $"application/{kind}-patch+json");

    public async Task<Reply> SendAsync(
        string method,
        string target,
        string? body,
        string contentType = "application/json",
        string accept = "application/json",
        string? impersonate = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), target);
        request.Headers.TryAddWithoutValidation("Accept", accept);
        request.Headers.TryAddWithoutValidation("User-Agent", "unknown");
        if (impersonate is not null)
        {
            request.Headers.Add("Impersonate-User", impersonate);
        }

        if (body is not null)
        {
            request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
            request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        }

        using var response = await Client.SendAsync(request);
        return new Reply(
            (int)response.StatusCode,
            await response.Content.ReadAsStringAsync(),
            response.Headers,
            response.Content.Headers.ContentType?.ToString());
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Server.DisposeAsync();
        Store.Dispose();
        _authority.Dispose();
        Directory.Delete(DirectoryPath, recursive: true);
    }
}
