using Rollout.Supply;
using Rollout.Tests.Support;

namespace Rollout.Tests.Supply;

/// <summary>Our reading of the OCI distribution specification against its reference implementation.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DistributionRegistryTests
{
    [SetUp]
    public void Require()
    {
        if (!DistributionRegistry.IsInstalled)
        {
            Assert.Ignore("The registry is not installed: apt-get install docker-registry");
        }
    }

    [Test]
    public async Task A_tag_resolves_to_the_manifest_that_was_pushed()
    {
        await using var server = await DistributionRegistry.StartAsync();
        var (digest, _) = await server.PushAsync("aether/oms", "v1", "layer");
        using var registry = new ImageRegistry(null, TimeProvider.System);
        Assert.That(await registry.ResolveAsync(Image(server, "oms:v1"), default), Is.EqualTo(new ResolvedImage(digest, null)));
        Assert.That(await registry.ResolveAsync(Image(server, $"oms@{digest}"), default), Is.EqualTo(new ResolvedImage(digest, null)));
    }

    [Test]
    public async Task A_tag_that_moved_resolves_to_what_it_is_now()
    {
        await using var server = await DistributionRegistry.StartAsync();
        var (before, _) = await server.PushAsync("aether/oms", "v1", "layer");
        var (after, _) = await server.PushAsync("aether/oms", "v1", "another layer");
        using var registry = new ImageRegistry(null, TimeProvider.System);
        Assert.That((await registry.ResolveAsync(Image(server, "oms:v1"), default)).Digest, Is.EqualTo(after).And.Not.EqualTo(before));
    }

    [Test]
    public async Task An_index_resolves_to_itself_and_to_its_image_for_linux_on_amd64()
    {
        await using var server = await DistributionRegistry.StartAsync();
        var amd = await server.PushAsync("aether/oms", null, "for amd64");
        var arm = await server.PushAsync("aether/oms", null, "for arm64");
        var index = await server.PushIndexAsync("aether/oms", "v1", (arm.Digest, arm.Size, "arm64"), (amd.Digest, amd.Size, "amd64"));
        await server.PushIndexAsync("aether/oms", "arm", (arm.Digest, arm.Size, "arm64"));
        using var registry = new ImageRegistry(null, TimeProvider.System);
        Assert.That(await registry.ResolveAsync(Image(server, "oms:v1"), default), Is.EqualTo(new ResolvedImage(index, amd.Digest)));
        Assert.That(
            (await Assert.ThrowsAsync<RolloutException>(() => registry.ResolveAsync(Image(server, "oms:arm"), default)))!.Message,
            Does.Contain("not built for linux/amd64, only for linux/arm64"));
    }

    [TestCase("oms:v2", "v2")]
    [TestCase("nobody:v1", "aether/nobody")]
    public async Task What_is_not_there_is_told(string image, string says)
    {
        await using var server = await DistributionRegistry.StartAsync();
        await server.PushAsync("aether/oms", "v1", "layer");
        using var registry = new ImageRegistry(null, TimeProvider.System);
        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => registry.ResolveAsync(Image(server, image), default)))!.Message, Does.Contain(says));
    }

    [Test]
    public async Task A_registry_that_wants_a_password_gets_it()
    {
        await using var server = await DistributionRegistry.StartAsync(RegistryGuard.Basic);
        var (digest, _) = await server.PushAsync("aether/oms", "v1", "layer");
        using var registry = new ImageRegistry(new Secret($"rollout:{DistributionRegistry.Password}"), TimeProvider.System);
        Assert.That((await registry.ResolveAsync(Image(server, "oms:v1"), default)).Digest, Is.EqualTo(digest));

        using var stranger = new ImageRegistry(new Secret("rollout:wrong-password"), TimeProvider.System);
        var refused = (await Assert.ThrowsAsync<RolloutException>(() => stranger.ResolveAsync(Image(server, "oms:v1"), default)))!;
        Assert.That(refused.Message, Does.Contain("denied"));
        Assert.That(refused.ToString(), Does.Not.Contain("wrong-password"));
    }

    [Test]
    public async Task A_registry_that_wants_a_token_gets_one_of_the_scope_it_asks_for()
    {
        await using var server = await DistributionRegistry.StartAsync(RegistryGuard.Token);
        var (oms, _) = await server.PushAsync("aether/oms", "v1", "layer");
        var (ui, _) = await server.PushAsync("aether/ui", "v1", "page");
        using var registry = new ImageRegistry(null, TimeProvider.System);
        var both = await Task.WhenAll(registry.ResolveAsync(Image(server, "oms:v1"), default), registry.ResolveAsync(Image(server, "ui:v1"), default));
        Assert.That(both.Select(i => i.Digest), Is.EqualTo(new[] { oms, ui }));
        await registry.ResolveAsync(Image(server, "oms:v1"), default);
        Assert.That(server.TokensGiven, Is.EqualTo(2), "one for each repository, used again");
    }

    // The registry allows a minute of clocks that differ, so what ran out did so two minutes ago.
    [Test]
    public async Task A_token_that_the_registry_calls_expired_is_asked_for_again_once()
    {
        await using var server = await DistributionRegistry.StartAsync(RegistryGuard.Token);
        await server.PushAsync("aether/oms", "v1", "layer");
        server.TokenLifetime = TimeSpan.FromMinutes(-2);
        using var registry = new ImageRegistry(null, TimeProvider.System);
        var refused = (await Assert.ThrowsAsync<RolloutException>(() => registry.ResolveAsync(Image(server, "oms:v1"), default)))!;
        Assert.That(refused.Message, Does.Contain("aether/oms").And.Contain("denied"));

        server.TokenLifetime = TimeSpan.FromMinutes(5);
        Assert.That((await registry.ResolveAsync(Image(server, "oms:v1"), default)).Digest, Does.StartWith("sha256:"));
    }

    private static ImageReference Image(DistributionRegistry server, string name) => ImageReference.Parse($"{server.Authority}/aether/{name}");
}
