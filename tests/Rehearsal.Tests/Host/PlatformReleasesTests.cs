using System.Diagnostics;

namespace Rehearsal.Tests.Host;

public sealed class PlatformReleasesTests
{
    private string _directory = null!;

    [SetUp]
    public void MakeDirectory()
    {
        _directory = Directory.CreateTempSubdirectory("rehearsal-releases-").FullName;
    }

    [TearDown]
    public void RemoveDirectory()
    {
        Directory.Delete(_directory, recursive: true);
    }

    [Test]
    public async Task A_checkout_stands_clean_on_the_newest_of_its_tagged_releases()
    {
        var checkout = Path.Combine(_directory, "platform");
        var releases = await Load().CheckOutAsync(checkout, CancellationToken.None);
        Assert.That(releases.Select(release => release.Tag), Is.EqualTo(PlatformReleases.Tags));
        Assert.That(await GitAsync(checkout, "tag"), Is.EqualTo(string.Join('\n', PlatformReleases.Tags)));
        Assert.That(await GitAsync(checkout, "rev-parse", "HEAD"), Is.EqualTo(releases[^1].Sha));
        Assert.That(await GitAsync(checkout, "rev-parse", "v2026.11.3^{commit}"), Is.EqualTo(releases[3].Sha));
        Assert.That(await GitAsync(checkout, "status", "--porcelain"), Is.Empty);
    }

    [Test]
    public async Task Releases_differ_in_the_charts_versions_and_the_image_tag()
    {
        var checkout = Path.Combine(_directory, "platform");
        await Load().CheckOutAsync(checkout, CancellationToken.None);
        var chart = await GitAsync(checkout, "show", "v2026.11.4:deploy/helm/aether-platform/Chart.yaml");
        Assert.That(chart, Does.Contain("version: 0.4.4").And.Contains("appVersion: \"2026.11.4\""));
        Assert.That(
            await GitAsync(checkout, "show", "v2026.11.4:deploy/helm/aether-platform/values.yaml"), Does.Contain("    tag: v2026.11.4\n"));
        Assert.That(
            await GitAsync(checkout, "diff", "--name-only", "v2026.11.4", "v2026.11.5"),
            Is.EqualTo("deploy/helm/aether-platform/Chart.yaml\ndeploy/helm/aether-platform/values.yaml"));
    }

    [Test]
    public async Task The_rehearsals_addresses_are_committed_with_the_overlay()
    {
        var checkout = Path.Combine(_directory, "platform");
        await Load().CheckOutAsync(checkout, CancellationToken.None);
        var overlay = await GitAsync(checkout, "show", "v2026.11.0:deploy/environments/values-rehearsal.yaml");
        Assert.That(overlay, Does.Contain("registry: \"127.0.0.1:5000\"").And.Contains("value: \"http://127.0.0.1:5001\""));
    }

    [Test]
    public async Task Commits_are_the_same_wherever_and_however_often_they_are_made()
    {
        var first = await Load().CheckOutAsync(Path.Combine(_directory, "a"), CancellationToken.None);
        var second = await Load().CheckOutAsync(Path.Combine(_directory, "b"), CancellationToken.None);
        var again = await Load().CheckOutAsync(Path.Combine(_directory, "a"), CancellationToken.None);
        Assert.That(second, Is.EqualTo(first));
        Assert.That(again, Is.EqualTo(first));
    }

    private static PlatformReleases Load()
    {
        return PlatformReleases.Load("127.0.0.1:5000", new Uri("http://127.0.0.1:5001/"));
    }

    private static async Task<string> GitAsync(string directory, params string[] arguments)
    {
        using var git = Process.Start(
            new ProcessStartInfo("git", arguments) { WorkingDirectory = directory, RedirectStandardOutput = true })!;
        var output = await git.StandardOutput.ReadToEndAsync();
        await git.WaitForExitAsync();
        Assert.That(git.ExitCode, Is.Zero, $"git {string.Join(' ', arguments)}");
        return output.Trim('\n');
    }
}
