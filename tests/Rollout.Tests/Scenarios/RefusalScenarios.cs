using Rollout.Tests.Support;

namespace Rollout.Tests.Scenarios;

/// <summary>Bad calls: the exit code a pipeline branches on, a message that helps, and nothing touched.</summary>
public sealed class RefusalScenarios
{
    private string _folder = null!;

    [SetUp]
    public void Begin() => _folder = Directory.CreateTempSubdirectory("refusal-").FullName;

    [TearDown]
    public void End() => Directory.Delete(_folder, recursive: true);

    [TestCase("--target=Swich", "There is no target 'Swich'; did you mean Switch")]
    [TestCase("--target=Status --environment=prod", "Rollout.Environment: 'prod' from argument --environment is not one of embedded, kind, staging, production.")]
    [TestCase("--target=Status --relase=v1", "--relase: there is no such argument; did you mean --release.")]
    [TestCase("--target=Switch --environment=production", "Rollout.Release (the release tag) is missing")]
    [TestCase("--target=Switch --release=no/tag", "Rollout.Release: 'no/tag' from argument --release is not a Git and image tag")]
    [TestCase("--target", "--target needs a value")]
    [TestCase("Switch", "a target is named with --target=Switch")]
    public async Task A_bad_call_ends_with_2_and_says_what_is_meant(string arguments, string says)
    {
        var result = await RehearsalWorld.CallOnceAsync(_folder, arguments.Split(' '));
        Assert.Multiple(() =>
        {
            Assert.That(result.ExitCode, Is.EqualTo((int)ExitCode.BadSettings), result.Everything);
            Assert.That(result.Error, Does.Contain(says), result.Everything);
        });
        Assert.That(Directory.EnumerateFileSystemEntries(_folder), Is.Empty, "nothing may be touched");
    }

    [Test]
    public async Task Without_a_target_help_is_printed_and_nothing_is_touched()
    {
        var result = await RehearsalWorld.CallOnceAsync(_folder, []);
        Assert.That(result.ExitCode, Is.Zero, () => result.Everything);
        Assert.That(result.Output, Does.Contain("3.2 Flip DNS").And.Contain("--target=Rehearse").And.Contain("Exit codes"));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder), Is.Empty);
    }

    [TestCase("--target=Rollout --dryrun", "ArchiveArtefacts")]
    [TestCase("--tree", "└─ArchiveArtefacts")]
    [TestCase("--description", "3.2 Flip DNS")]
    [TestCase("--version", "Aether Rollout")]
    public async Task Cakes_own_modes_touch_nothing(string arguments, string says)
    {
        var result = await RehearsalWorld.CallOnceAsync(_folder, arguments.Split(' '));
        Assert.That(result.ExitCode, Is.Zero, () => result.Everything);
        Assert.That(result.Output, Does.Contain(says));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder), Is.Empty);
    }

    [Test]
    public async Task Status_without_a_world_starts_none()
    {
        var result = await RehearsalWorld.CallOnceAsync(_folder, ["--target=Status"]);
        Assert.That(result.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => result.Everything);
        Assert.That(result.Error, Does.Contain("No embedded environment is running").And.Contain("--target=RehearsalUp"));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder), Is.Empty);
    }

    [Test]
    public async Task A_cluster_that_does_not_answer_is_named_and_nothing_is_touched()
    {
        var kubeconfig = Path.Combine(_folder, "kubeconfig");
        await File.WriteAllTextAsync(kubeconfig, """
            apiVersion: v1
            kind: Config
            clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
            contexts: [{name: c, context: {cluster: c, user: u}}]
            users: [{name: u, user: {}}]
            """);
        var secrets = RolloutSettings.All.Where(s => s.IsSecret).ToDictionary(s => s.Variable, _ => "127.0.0.1:1");
        var result = await RehearsalWorld.CallOnceAsync(
            _folder,
            ["--target=Status", "--environment=staging", "--release=v1", $"--platform={_folder}", $"--cluster-kubeconfig={kubeconfig}", "--cluster-context=c"],
            secrets);
        Assert.That(result.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => result.Everything);
        Assert.That(result.Error, Does.Contain("The cluster (context c of").And.Contain("does not answer").And.Contain("Try: kubectl --context=c version"));
    }
}
