using Rollout.Platform;
using Rollout.Tests.Support;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Platform("Linux,MacOsX")]
public sealed class ServiceRouteTests
{
    private readonly string _directory = Directory.CreateTempSubdirectory("rollout-kubectl-").FullName;
    private readonly List<string> _echoed = [];

    [TearDown]
    public void Remove() => Directory.Delete(_directory, recursive: true);

    [Test]
    public async Task A_tunnel_is_opened_once_and_again_when_it_has_ended()
    {
        // The double counts its starts in a file and ends its first tunnel when told so.
        await using var tunnels = Tunnels(
            $$"""
            echo start >> {{_directory}}/starts
            n=$(wc -l < {{_directory}}/starts)
            echo "Forwarding from 127.0.0.1:4000$n -> 8000"
            while [ ! -e {{_directory}}/end$n ]; do sleep 0.02; done
            """);
        Assert.That(await tunnels.OpenAsync("safe-mode", CancellationToken.None), Is.EqualTo(new Uri("http://127.0.0.1:40001/")));
        Assert.That(await tunnels.OpenAsync("safe-mode", CancellationToken.None), Is.EqualTo(new Uri("http://127.0.0.1:40001/")));
        await File.WriteAllTextAsync(Path.Combine(_directory, "end1"), "");
        var address = new Uri("http://127.0.0.1:40001/");
        for (var attempt = 0; attempt < 500 && address.Port == 40001; attempt++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, CancellationToken.None);
            address = await tunnels.OpenAsync("safe-mode", CancellationToken.None);
        }

        Assert.That(address, Is.EqualTo(new Uri("http://127.0.0.1:40002/")));
        Assert.That(
            _echoed[0], Is.EqualTo("kubectl --context ctx port-forward --namespace aether-blue --address 127.0.0.1 service/safe-mode :80"));
    }

    [Test]
    public async Task A_tunnel_that_cannot_be_opened_says_why()
    {
        await using var tunnels = Tunnels("echo 'Error from server (NotFound): services \"safe-mode\" not found' >&2; exit 1");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => tunnels.OpenAsync("safe-mode", CancellationToken.None)))!;
        Assert.That(exception.Message, Does.Contain("exit code 1").And.Contain("not found"));
    }

    [Test]
    public async Task A_pods_address_is_found_by_its_service()
    {
        await using var api = await HttpDouble.StartAsync(seen => seen.Path switch
        {
            "/api/v1/namespaces/aether-blue/endpoints/safe-mode" => new Reply(
                200,
                """
                {"subsets":[
                    {"notReadyAddresses":[{"ip":"127.64.0.1"}],"ports":[{"port":8000}]},
                    {"addresses":[{"ip":"127.64.0.2"}],"ports":[{"name":"metrics","port":9000},{"name":"http","port":8000}]}]}
                """),
            "/api/v1/namespaces/aether-blue/endpoints/starting" => new Reply(200, "{}"),
            _ => new Reply(404, """{"kind":"Status","apiVersion":"v1","message":"endpoints \"gone\" not found"}"""),
        });
        using var client = api.Client();
        var addresses = new PodAddresses(client, "aether-blue", new HastyTime());
        Assert.That(await addresses.FindAsync("safe-mode", CancellationToken.None), Is.EqualTo(new Uri("http://127.64.0.2:8000/")));
        Assert.That(
            (await Assert.ThrowsAsync<RolloutException>(() => addresses.FindAsync("starting", CancellationToken.None)))!.Message,
            Does.Contain("No pod"));
        Assert.That(
            (await Assert.ThrowsAsync<RolloutException>(() => addresses.FindAsync("gone", CancellationToken.None)))!.Message,
            Does.Contain("not found"));
    }

    private ServiceTunnels Tunnels(string script)
    {
        var kubectl = Path.Combine(_directory, "kubectl");
        File.WriteAllText(kubectl, "#!/bin/sh\n" + script + "\n");
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(kubectl, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        }

        return new ServiceTunnels(kubectl, null, "ctx", "aether-blue", "80", TimeProvider.System, _echoed.Add);
    }
}
