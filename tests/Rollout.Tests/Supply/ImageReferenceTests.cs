using Rollout.Supply;

namespace Rollout.Tests.Supply;

[Parallelizable(ParallelScope.All)]
public sealed class ImageReferenceTests
{
    private const string Digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    [TestCase("alpine", "docker.io", "library/alpine", "latest")]
    [TestCase("alpine:3.20", "docker.io", "library/alpine", "3.20")]
    [TestCase("bitnami/redis:7", "docker.io", "bitnami/redis", "7")]
    [TestCase("index.docker.io/bitnami/redis:7", "docker.io", "bitnami/redis", "7")]
    [TestCase("docker.io/alpine", "docker.io", "library/alpine", "latest")]
    [TestCase("localhost/oms", "localhost", "oms", "latest")]
    [TestCase("127.0.0.1:5000/aether/oms-service:v2026.11.1", "127.0.0.1:5000", "aether/oms-service", "v2026.11.1")]
    [TestCase("registry.example.com/aether/oms", "registry.example.com", "aether/oms", "latest")]
    [TestCase("registry.example.com:443/a/b/c:x", "registry.example.com:443", "a/b/c", "x")]
    [TestCase("[::1]:5000/aether/oms:v1", "[::1]:5000", "aether/oms", "v1")]
    public void Defaults_are_written_out_as_the_docker_client_does(string text, string registry, string repository, string tag)
    {
        var image = ImageReference.Parse(text);

        Assert.That(image, Is.EqualTo(new ImageReference(registry, repository, tag, null)));
        Assert.That(ImageReference.Parse(image.ToString()), Is.EqualTo(image), "its own text reads back as the same");
    }

    [Test]
    public void A_digest_stands_beside_or_instead_of_the_tag()
    {
        var both = ImageReference.Parse($"127.0.0.1:5000/aether/oms:v1@{Digest}");
        var alone = ImageReference.Parse($"127.0.0.1:5000/aether/oms@{Digest}");

        Assert.That(both, Is.EqualTo(new ImageReference("127.0.0.1:5000", "aether/oms", "v1", Digest)));
        Assert.That(both.Pinned, Is.EqualTo($"v1@{Digest}"));
        Assert.That(alone.Tag, Is.Empty, "a digest alone has no tag to be pinned by");
        Assert.That(alone.ToString(), Is.EqualTo($"127.0.0.1:5000/aether/oms@{Digest}"));
    }

    [Test]
    public void Only_a_tag_with_a_digest_is_pinned()
    {
        var image = ImageReference.Parse("oms:v1");

        Assert.That(() => image.Pinned, Throws.InvalidOperationException);
        Assert.That((image with { Digest = Digest }).Pinned, Is.EqualTo($"v1@{Digest}"));
    }

    [TestCase("oms:v 1", "the tag 'v 1' is not")]
    [TestCase("oms@sha256:1234", "the digest 'sha256:1234' is not")]
    [TestCase("Aether/OMS:v1", "'OMS' is not a repository")]
    [TestCase("registry.example.com/:v1", "'' is not a repository")]
    [TestCase("registry.example.com/a//b", "'a//b' is not a repository")]
    [TestCase("", "'library/' is not a repository")]
    [TestCase("https://registry.example.com/a", "'https:' is not a registry host")]
    public void What_is_no_reference_is_told_by_its_part(string text, string part)
    {
        var failure = Assert.Throws<RolloutException>(() => ImageReference.Parse(text))!;

        Assert.That(failure.Message, Does.StartWith($"'{text}' is not an image reference: ").And.Contain(part));
    }
}
