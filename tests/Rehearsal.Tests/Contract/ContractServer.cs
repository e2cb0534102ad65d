using System.Diagnostics;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.Tests.Contract;

/// <summary>An API server that cases are run on, known by its kubeconfig alone.</summary>
internal sealed class ContractServer : IDisposable
{
    private const string Probe = """{"metadata":{"name":"probe"},"spec":{"containers":[{"name":"c","image":"none"}]}}""";

    private static int _made;

    private readonly ContractTools _tools;
    private readonly string _kubeconfig;
    private readonly string _home;
    private readonly JsonNode _user;
    private readonly X509Certificate2 _authority;
    private readonly HttpClient _administrator;
    private readonly HttpClient _stranger;

    private ContractServer(ContractTools tools, string kubeconfig, string home, JsonNode config)
    {
        _tools = tools;
        _kubeconfig = kubeconfig;
        _home = home;
        var cluster = config["clusters"]![0]!["cluster"]!;
        _user = config["users"]![0]!["user"]!;
        _authority = X509Certificate2.CreateFromPem(Text(cluster["certificate-authority-data"]!));
        Address = new Uri((string)cluster["server"]!);
        _administrator = NewClient(known: true);
        _stranger = NewClient(known: false);
    }

    public Uri Address { get; }

    /// <summary>The server's minor version, as in <c>1.20</c>.</summary>
    public string Version { get; private set; } = "";

    public static async Task<ContractServer> ConnectAsync(ContractTools tools, string kubeconfig)
    {
        var home = Directory.CreateTempSubdirectory("contract-").FullName;
        var (code, output, error) = await tools.RunAsync(
            ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json"], null, kubeconfig, home);
        Assert.That(code, Is.Zero, error);
        var server = new ContractServer(tools, kubeconfig, home, JsonNode.Parse(output)!);
        var version = JsonNode.Parse(await server._administrator.GetStringAsync(new Uri("/version", UriKind.Relative)))!;
        server.Version = $"{version["major"]}.{((string)version["minor"]!).TrimEnd('+')}";
        return server;
    }

    /// <summary>Runs the case in a new namespace and returns its transcript in normal form.</summary>
    public async Task<string> RunAsync(ContractCase item)
    {
        var ns = $"contract-{Environment.ProcessId}-{Interlocked.Increment(ref _made)}";
        var conversation = new Conversation(this, ns);
        await SendAsync("POST", "/api/v1/namespaces", $$$"""{"metadata":{"name":"{{{ns}}}"}}""");
        try
        {
            using var patience = new CancellationTokenSource(Patience.Limit);
            // Pods are refused until the namespace has its account, and in older versions until that has its token.
            while ((await SendAsync("POST", $"/api/v1/namespaces/{ns}/pods?dryRun=All", Probe)).Code != 201)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, patience.Token);
            }

            return await conversation.RunAsync(item.Steps);
        }
        finally
        {
            await RemoveAsync(ns);
        }
    }

    public void Dispose()
    {
        _administrator.Dispose();
        _stranger.Dispose();
        _authority.Dispose();
        Directory.Delete(_home, recursive: true);
    }

    internal Task<(int Code, string Output, string Error)> RunToolAsync(IReadOnlyList<string> command, string? input) =>
        _tools.RunAsync(command, input, _kubeconfig, _home);

    internal async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, bool known) =>
        await (known ? _administrator : _stranger).SendAsync(request, HttpCompletionOption.ResponseHeadersRead);

    // Cases may make namespaces beside their own, named after it; and leave finalizers nobody will remove.
    private async Task RemoveAsync(string ns)
    {
        var (_, list) = await SendAsync("GET", "/api/v1/namespaces", null);
        foreach (var name in JsonNode.Parse(list)!["items"]!.AsArray().Select(item => (string)item!["metadata"]!["name"]!))
        {
            if (name == ns || name.StartsWith(ns + "-", StringComparison.Ordinal))
            {
                await SendAsync("DELETE", "/api/v1/namespaces/" + name, null);
            }
        }
    }

    private async Task<(int Code, string Text)> SendAsync(string method, string path, string? body)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        }

        using var response = await _administrator.SendAsync(request);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private HttpClient NewClient(bool known)
    {
        var handler = new SocketsHttpHandler { AllowAutoRedirect = false };
        handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            CustomTrustStore = { _authority },
        };
        var client = new HttpClient(handler) { BaseAddress = Address, Timeout = 2 * Patience.Limit };
        client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("contract", "1"));
        if (known && (string?)_user["token"] is { } token)
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }
        else if (known)
        {
            var certificate = X509Certificate2.CreateFromPem(
                Text(_user["client-certificate-data"]!), Text(_user["client-key-data"]!));
            handler.SslOptions.ClientCertificates = [certificate];
        }

        return client;
    }

    private static string Text(JsonNode data) => Encoding.UTF8.GetString(Convert.FromBase64String((string)data!));
}

/// <summary>The kubectl and helm that speak to both servers, and their versions.</summary>
internal sealed class ContractTools
{
    private readonly Dictionary<string, string> _paths = [];

    /// <summary>As in <c>kubectl v1.35.2, helm v4.1.4</c>.</summary>
    public string Versions { get; private set; } = "";

    public static async Task<ContractTools> FindAsync()
    {
        var tools = new ContractTools();
        foreach (var name in new[] { "kubectl", "helm" })
        {
            tools._paths[name] = Tools.FindPinned(name);
        }

        var (_, kubectl, _) = await tools.RunAsync(["kubectl", "version", "--client", "-o", "json"], null, "", Path.GetTempPath());
        var (_, helm, _) = await tools.RunAsync(["helm", "version", "--template", "{{.Version}}"], null, "", Path.GetTempPath());
        tools.Versions = $"kubectl {JsonNode.Parse(kubectl)!["clientVersion"]!["gitVersion"]}, helm {helm}";
        return tools;
    }

    public async Task<(int Code, string Output, string Error)> RunAsync(
        IReadOnlyList<string> command, string? input, string kubeconfig, string home)
    {
        var start = new ProcessStartInfo(_paths[command[0]], command.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = home,
        };
        start.Environment["KUBECONFIG"] = kubeconfig;
        start.Environment["HOME"] = home;
        start.Environment["LC_ALL"] = "C";
        start.Environment["TZ"] = "UTC";
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (input is not null)
        {
            await process.StandardInput.WriteAsync(input);
        }

        process.StandardInput.Close();
        using var patience = new CancellationTokenSource(4 * Patience.Limit);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new AssertionException($"{string.Join(' ', command)} did not end");
        }

        return (process.ExitCode, await output, await error);
    }
}
