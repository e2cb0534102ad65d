using System.Net.WebSockets;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class StreamTests
{
    private const string Pods = "/api/v1/namespaces/test/pods";

    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private TestCluster _cluster = null!;
    private WebApplication _backend = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        _backend = builder.Build();
        _backend.Run(async context =>
        {
            using var body = new StreamReader(context.Request.Body);
            context.Response.StatusCode = context.Request.Path == "/teapot" ? 418 : 200;
            context.Response.Headers["X-Seen"] = context.Request.Headers["X-Sent"].ToString() + context.Request.Headers.Authorization;
            await context.Response.WriteAsync(
                $"{context.Request.Method} {context.Request.Path}{context.Request.QueryString} {await body.ReadToEndAsync()}");
        });
        await _backend.StartAsync();
        var port = new Uri(_backend.Urls.First()).Port;
        _cluster = await TestCluster.StartAsync(new NodeStreams(LogsAsync, ExecAsync));
        await _cluster.PostAsync(
            Pods,
            $$$$"""{"metadata":{"name":"box"},"spec":{"nodeName":"node","containers":[{"name":"box","image":"x:1","ports":[{"name":"http","containerPort":{{{{port}}}}}]},{"name":"side","image":"x:1"}]}}""");
        await _cluster.PatchAsync($"{Pods}/box/status", "merge", """
            {"status":{"phase":"Running","podIP":"127.0.0.1","containerStatuses":[{"name":"box","ready":true,"restartCount":0,"image":"x:1","imageID":"","state":{"running":{}}},
             {"name":"side","ready":false,"restartCount":0,"image":"x:1","imageID":"","state":{"waiting":{"reason":"ImagePullBackOff"}}}]}}
            """);
        await _cluster.PostAsync(Pods, """{"metadata":{"name":"pending"},"spec":{"containers":[{"name":"c","image":"x:1"}]}}""");
        foreach (var name in new[] { "box", "nobody" })
        {
            await _cluster.PostAsync(
                "/api/v1/namespaces/test/services",
                $$$$"""{"metadata":{"name":"{{{{name}}}}"},"spec":{"ports":[{"name":"http","port":80}]}}""");
        }

        await _cluster.PostAsync(
            "/api/v1/namespaces/test/endpoints",
            $$$$"""{"metadata":{"name":"box"},"subsets":[{"addresses":[{"ip":"127.0.0.1"}],"ports":[{"name":"http","port":{{{{port}}}}}]}]}""");
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        await _cluster.DisposeAsync();
        await _backend.DisposeAsync();
    }

    [TestCase("container=box", "one\ntwo\nthree\n")]
    [TestCase("container=box&tailLines=1", "three\n")]
    [TestCase("container=box&limitBytes=5", "one\nt")]
    [TestCase("container=box&timestamps=true&tailLines=1", "2026-01-01T00:00:02.000000000Z three\n")]
    [TestCase("container=box&sinceTime=2026-01-01T00:00:01Z", "two\nthree\n")]
    [TestCase("container=box&follow=true", "one\ntwo\nthree\nlater\n")]
    public async Task Logs(string query, string expected)
    {
        var reply = await _cluster.GetAsync($"{Pods}/box/log?{query}");
        Assert.That((reply.Code, reply.Text, reply.ContentType), Is.EqualTo((200, expected, "text/plain")));
    }

    [TestCase("box", "", "a container name must be specified for pod box, choose one of: [box side]")]
    [TestCase("box", "?container=nope", "container nope is not valid for pod box")]
    [TestCase("box", "?container=side", "container \"side\" in pod \"box\" is waiting to start: trying and failing to pull image")]
    [TestCase("box", "?container=box&previous=true", "previous terminated container \"box\" in pod \"box\" not found")]
    [TestCase("pending", "", "pod pending does not have a host assigned")]
    public async Task Logs_that_are_not_there(string pod, string query, string message)
    {
        var reply = await _cluster.GetAsync($"{Pods}/{pod}/log{query}");
        Assert.That((reply.Code, reply["message"]), Is.EqualTo((400, message)));
    }

    [Test]
    public async Task A_command_gets_its_input_and_its_exit_code_comes_last()
    {
        using var socket = await ConnectAsync("command=cat&command=7&container=box&stdin=true&stdout=true&stderr=true");
        Assert.That(socket.SubProtocol, Is.EqualTo("v5.channel.k8s.io"));
        Assert.That(await ReceiveAsync(socket), Is.EqualTo("1:"), "an empty message on the output channel comes first");
        await socket.SendAsync("\0hello"u8.ToArray(), WebSocketMessageType.Binary, true, CancellationToken.None);
        await socket.SendAsync(new byte[] { 255, 0 }, WebSocketMessageType.Binary, true, CancellationToken.None);
        Assert.That(await ReceiveAsync(socket), Is.EqualTo("1:hello"));
        Assert.That(await ReceiveAsync(socket), Is.EqualTo("2:done"));
        var result = await ReceiveAsync(socket);
        Assert.That(Reply.Read(JsonNode.Parse(result![2..]), "details.causes.0.message"), Is.EqualTo("7"));
        Assert.That(await ReceiveAsync(socket), Is.Null, "then the socket closes");
    }

    [Test]
    public async Task A_client_that_goes_away_cancels_the_command()
    {
        var socket = await ConnectAsync("command=wait&container=box&stdout=true");
        await ReceiveAsync(socket);
        socket.Abort();
        socket.Dispose();
        await _cancelled.Task.WaitAsync(Patience.Limit);
    }

    [TestCase("box", "nope", 400, "container nope is not valid for pod box")]
    [TestCase("pending", "c", 400, "pod pending does not have a host assigned")]
    [TestCase("absent", "c", 404, "pods \"absent\" not found")]
    public async Task Commands_that_cannot_run_are_refused_before_the_upgrade(string pod, string container, int code, string message)
    {
        var reply = await _cluster.GetAsync($"{Pods}/{pod}/exec?command=true&container={container}&stdout=true");
        Assert.That((reply.Code, reply["message"]), Is.EqualTo((code, message)));
    }

    [TestCase("services/box:http")]
    [TestCase("services/http:box:80")]
    [TestCase("pods/box")]
    [TestCase("pods/box:http")]
    public async Task The_proxy_passes_requests_on(string target)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"/api/v1/namespaces/test/{target}/proxy/teapot?a=b%20c");
        request.Headers.Add("X-Sent", "yes");
        request.Content = new StringContent("body");
        using var response = await _cluster.Client.SendAsync(request);
        Assert.That(((int)response.StatusCode, await response.Content.ReadAsStringAsync()), Is.EqualTo((418, "PUT /teapot?a=b%20c body")));
        Assert.That(response.Headers.GetValues("X-Seen"), Is.EqualTo(new[] { "yes" }), "headers go through, the cluster's token does not");
    }

    [TestCase("services/http:nobody:http/proxy/", 503, "no endpoints available for service \"http:nobody:http\"")]
    [TestCase("services/box:99/proxy/", 503, "no service port 99 found for service \"box\"")]
    [TestCase("services/box/proxy/", 503, "no endpoints available for service \"box\"")]
    [TestCase("services/absent/proxy/", 404, "services \"absent\" not found")]
    [TestCase("pods/box:1/proxy/", 500, "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused")]
    public async Task The_proxy_says_why_it_cannot(string target, int code, string message)
    {
        var reply = await _cluster.GetAsync("/api/v1/namespaces/test/" + target);
        Assert.That((reply.Code, reply["message"]), Is.EqualTo((code, message)));
    }

    [Test]
    public async Task The_proxy_without_a_path_redirects_to_one()
    {
        var reply = await _cluster.GetAsync("/api/v1/namespaces/test/services/box:http/proxy");
        Assert.That(
            (reply.Code, reply.Headers.Location?.OriginalString),
            Is.EqualTo((301, "/api/v1/namespaces/test/services/box:http/proxy/")));
    }

    private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static Task<PodLog?> LogsAsync(PodLogRequest request, CancellationToken cancellation)
    {
        async IAsyncEnumerable<LogLine> LaterAsync()
        {
            await Task.CompletedTask;
            yield return new LogLine(Start.AddSeconds(3), "later");
        }

        var written = new[] { "one", "two", "three" }.Select((text, i) => new LogLine(Start.AddSeconds(i), text)).ToList();
        return Task.FromResult<PodLog?>(new PodLog(written, request.Follow ? LaterAsync() : null));
    }

    private async Task<int> ExecAsync(PodExecRequest request, CancellationToken cancellation)
    {
        if (request.Command[0] == "wait")
        {
            await using var registration = cancellation.Register(() => _cancelled.TrySetResult());
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellation);
        }

        using var input = new StreamReader(request.Stdin!);
        await request.Stdout!.WriteAsync(Encoding.UTF8.GetBytes(await input.ReadToEndAsync(cancellation)), cancellation);
        await request.Stderr!.WriteAsync("done"u8.ToArray(), cancellation);
        return int.Parse(request.Command[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    private static async Task<string?> ReceiveAsync(ClientWebSocket socket)
    {
        var buffer = new byte[4096];
        using var patience = new CancellationTokenSource(Patience.Limit);
        var received = await socket.ReceiveAsync(buffer, patience.Token);
        return received.MessageType == WebSocketMessageType.Close
            ? null
            : $"{buffer[0]}:{Encoding.UTF8.GetString(buffer, 1, received.Count - 1)}";
    }

    private async Task<ClientWebSocket> ConnectAsync(string query)
    {
        var socket = new ClientWebSocket();
        socket.Options.AddSubProtocol("v5.channel.k8s.io");
        socket.Options.SetRequestHeader("Authorization", "Bearer " + _cluster.Server.Token);
        socket.Options.RemoteCertificateValidationCallback = (_, certificate, _, _) => _cluster.Trusts(certificate);
        var address = new UriBuilder(new Uri(_cluster.Server.Address, $"{Pods}/box/exec?{query}")) { Scheme = "wss" }.Uri;
        await socket.ConnectAsync(address, CancellationToken.None);
        return socket;
    }
}
