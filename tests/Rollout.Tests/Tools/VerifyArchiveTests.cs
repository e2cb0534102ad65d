using Rollout.Archive;
using Rollout.Tests.Support;

namespace Rollout.Tests.Tools;

/// <summary>The target that reads an archive again, called as a person calls it, without a world.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class VerifyArchiveTests
{
    private readonly string _folder = Directory.CreateTempSubdirectory("rollout-archived-").FullName;

    private string Bucket => Path.Combine(_folder, "bucket");

    private string Archived => Path.Combine(Bucket, "rollouts", "embedded", "v1", "1");

    private EvidenceFolder Evidence => new(Path.Combine(_folder, "evidence"));

    [SetUp]
    public async Task StoreAsync()
    {
        await Evidence.WriteAsync("SmokeTest", "ci.txt", "green", default);
        await Evidence.WriteAsync("FlipDns", "records.json", "[]", default);
        await ArchiveAsync("1");
    }

    [TearDown]
    public void Delete() => Directory.Delete(_folder, recursive: true);

    [Test]
    public async Task An_archive_that_is_as_it_was_stored_ends_with_0()
    {
        var seen = await VerifyAsync("--release=v1");
        Assert.That(seen.ExitCode, Is.Zero, () => seen.Everything);
        Assert.That(seen.Output, Does.Contain("as it was stored"));
    }

    [TestCase("SmokeTest/ci.txt", "red", "'rollouts/embedded/v1/1/SmokeTest/ci.txt' was changed")]
    [TestCase("FlipDns/records.json", null, "'rollouts/embedded/v1/1/FlipDns/records.json' is gone")]
    [TestCase("FlipDns/late.json", "[]", "'rollouts/embedded/v1/1/FlipDns/late.json' is in no manifest")]
    public async Task An_object_that_was_edited_is_missing_or_was_added_is_named(string path, string? content, string says)
    {
        var file = Path.Combine(Archived, path);
        if (content is null)
        {
            File.Delete(file);
        }
        else
        {
            await File.WriteAllTextAsync(file, content);
        }

        var seen = await VerifyAsync("--release=v1");
        Assert.That(seen.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => seen.Everything);
        Assert.That(seen.Error.ReplaceLineEndings(" "), Does.Contain(says), () => seen.Everything);
    }

    [Test]
    public async Task A_manifest_that_was_edited_is_named()
    {
        var manifest = Directory.EnumerateFiles(Archived, "manifest-*.json").Single();
        await File.WriteAllTextAsync(manifest, (await File.ReadAllTextAsync(manifest)).Replace("\"head\"", "\"other\"", StringComparison.Ordinal));
        var seen = await VerifyAsync("--release=v1");
        Assert.That(seen.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => seen.Everything);
        Assert.That(seen.Error.ReplaceLineEndings(" "), Does.Contain("its name is not its digest any more"));
    }

    [Test]
    public async Task An_attempt_that_was_given_up_is_told_by_the_next_and_one_whose_manifest_was_taken_is_not()
    {
        var givenUp = Path.Combine(Bucket, "rollouts", "embedded", "v1", "2");
        Directory.CreateDirectory(givenUp);
        await File.WriteAllTextAsync(Path.Combine(givenUp, "half.json"), "[]");
        var before = await VerifyAsync("--release=v1");
        Assert.That(before.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => before.Everything);
        Assert.That(before.Error.ReplaceLineEndings(" "), Does.Contain("there is no manifest under 'rollouts/embedded/v1/2'"));

        await ArchiveAsync("3");
        var seen = await VerifyAsync("--release=v1");
        Assert.That(seen.ExitCode, Is.Zero, () => seen.Everything);
        Assert.That(seen.Output, Does.Contain("given up before its end"));

        File.Delete(Directory.EnumerateFiles(Archived, "manifest-*.json").Single());
        var taken = await VerifyAsync("--release=v1");
        Assert.That(taken.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => taken.Everything);
        Assert.That(taken.Error.ReplaceLineEndings(" "), Does.Contain("there is no manifest under 'rollouts/embedded/v1/1'"));
    }

    [Test]
    public async Task A_release_that_was_never_archived_and_one_that_is_not_named_are_told()
    {
        var unknown = await VerifyAsync("--release=v2");
        Assert.That(unknown.ExitCode, Is.EqualTo((int)ExitCode.Failed), () => unknown.Everything);
        Assert.That(unknown.Error, Does.Contain("no archive of v2").And.Contain("rollouts/embedded/v2/"));
        Assert.That((await VerifyAsync()).ExitCode, Is.EqualTo((int)ExitCode.BadSettings));
        var nowhere = await RehearsalWorld.CallOnceAsync(_folder, ["--target=VerifyArchive", "--release=v1"]);
        Assert.That(nowhere.ExitCode, Is.EqualTo((int)ExitCode.BadSettings), () => nowhere.Everything);
        Assert.That(nowhere.Error, Does.Contain("No compliance bucket is set"));
    }

    private Task<ArchiveManifest> ArchiveAsync(string attempt) => ComplianceArchive.StoreAsync(
        "v1", [new ArchiveSource(Evidence)], new DirectoryBucket(Bucket), "rollouts/embedded/v1", attempt, "head", TimeProvider.System, new Reports(), default);

    private Task<CallResult> VerifyAsync(params string[] more) => RehearsalWorld.CallOnceAsync(_folder, ["--target=VerifyArchive", $"--archive-directory={Bucket}", .. more]);
}
