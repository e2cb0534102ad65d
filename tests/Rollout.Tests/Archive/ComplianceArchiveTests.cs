using Rollout.Archive;
using Rollout.Tests.Support;

namespace Rollout.Tests.Archive;

/// <summary>All buckets keep the same promises: a directory, a double as Linode's, and the real server that Linode's is made of.</summary>
[TestFixture("directory")]
[TestFixture("s3")]
[TestFixture("ceph")]
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ComplianceArchiveTests(string kind)
{
    private const string Root = "rollouts/embedded/v2026.11.1";
    private const string Folder = Root + "/1";

    private readonly string _directory = Directory.CreateTempSubdirectory("rollout-archive-").FullName;
    private readonly Reports _reports = new();
    private EvidenceFolder _evidence = null!;
    private IComplianceBucket _bucket = null!;
    private S3Double? _s3;
    private CephGateway? _ceph;
    private string _name = "";

    [SetUp]
    public async Task StartAsync()
    {
        _evidence = new EvidenceFolder(Path.Combine(_directory, "evidence"));
        await _evidence.WriteAsync("ExportHealthSnapshot", "manifest.json", "{}", CancellationToken.None);
        await _evidence.WriteAsync("SmokeTest", "ci.zip", new byte[] { 0, 1, 2, 255 }, CancellationToken.None);
        _s3 = kind == "s3" ? await S3Double.StartAsync() : null;
        if (kind == "ceph")
        {
            _ceph = await Ceph.GatewayAsync();
            _name = await _ceph.CreateBucketAsync();
        }

        _bucket = _ceph?.Open(_name) ?? _s3?.Bucket() ?? (IComplianceBucket)new DirectoryBucket(Path.Combine(_directory, "bucket"));
    }

    [TearDown]
    public async Task StopAsync()
    {
        (_bucket as IDisposable)?.Dispose();
        if (_s3 is not null)
        {
            await _s3.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }

    [Test]
    public async Task Evidence_is_stored_with_a_manifest_and_verified()
    {
        var manifest = await StoreAsync();
        Assert.That(manifest.Objects.Select(o => o.Key), Is.EqualTo(new[] { "ExportHealthSnapshot/manifest.json", "SmokeTest/ci.zip" }));
        Assert.That(manifest.JournalHead, Is.EqualTo("head-of-chain"));
        var keys = (await _bucket.ListAsync(Folder, CancellationToken.None)).Select(o => o.Key).ToList();
        Assert.That(keys, Has.Count.EqualTo(3));
        Assert.That(await _bucket.ReadAsync($"{Folder}/SmokeTest/ci.zip", CancellationToken.None), Is.EqualTo(new byte[] { 0, 1, 2, 255 }));
        Assert.That(await ComplianceArchive.VerifyAsync(_bucket, Folder, TimeProvider.System, _reports, CancellationToken.None), Is.Empty);
    }

    [Test]
    public async Task Repeated_it_changes_nothing()
    {
        await StoreAsync();
        await StoreAsync();
        Assert.That(await _bucket.ListAsync(Folder, CancellationToken.None), Has.Count.EqualTo(3));
        Assert.That(_reports.Lines[^1], Does.EndWith("2 of them were there"));
    }

    [Test]
    public async Task What_is_stored_is_never_replaced()
    {
        await StoreAsync();
        await _evidence.WriteAsync("SmokeTest", "ci.zip", "another", CancellationToken.None);
        var exception = (await Assert.ThrowsAsync<RolloutException>(StoreAsync))!;
        Assert.That(exception.Message, Does.Contain("other content").And.Contain("SmokeTest/ci.zip"));
        Assert.That(await _bucket.ReadAsync($"{Folder}/SmokeTest/ci.zip", CancellationToken.None), Is.EqualTo(new byte[] { 0, 1, 2, 255 }));
    }

    [Test]
    public async Task Evidence_that_was_tampered_with_is_not_archived()
    {
        await File.WriteAllTextAsync(_evidence.FullPath("SmokeTest/ci.zip"), "tampered");
        Assert.That((await Assert.ThrowsAsync<RolloutException>(StoreAsync))!.Message, Does.Contain("was changed"));
        Assert.That(
            (await _bucket.ListAsync("", CancellationToken.None)).Select(o => o.Key),
            Has.None.EndsWith("SmokeTest/ci.zip").And.None.Contains("manifest-"));
    }

    [Test]
    public async Task A_second_archive_with_more_evidence_keeps_the_first_manifest()
    {
        await StoreAsync();
        await _evidence.WriteAsync("ArchiveArtefacts", "openapi.json", "{}", CancellationToken.None);
        await StoreAsync();
        Assert.That(
            (await _bucket.ListAsync(Folder, CancellationToken.None)).Count(o => o.Key.Contains("/manifest-", StringComparison.Ordinal)),
            Is.EqualTo(2));
        Assert.That(await ComplianceArchive.VerifyAsync(_bucket, Folder, TimeProvider.System, _reports, CancellationToken.None), Is.Empty);
    }

    [Test]
    public async Task Damage_in_the_bucket_is_found()
    {
        await StoreAsync();
        await DamageAsync($"{Folder}/SmokeTest/ci.zip", "damaged");
        await DamageAsync($"{Folder}/foreign.txt", "foreign");
        var problems = await ComplianceArchive.VerifyAsync(_bucket, Folder, TimeProvider.System, _reports, CancellationToken.None);
        Assert.That(problems, Has.Exactly(1).StartsWith($"'{Folder}/SmokeTest/ci.zip' was changed"));
        Assert.That(problems, Has.Exactly(1).EqualTo($"'{Folder}/foreign.txt' is in no manifest"));
    }

    [Test]
    public async Task A_forged_manifest_is_found()
    {
        await StoreAsync();
        var key = (
            await _bucket.ListAsync(Folder, CancellationToken.None)).Select(o =>
                o.Key).Single(k => k.Contains("/manifest-", StringComparison.Ordinal));
        await DamageAsync(key, """{"version":1,"release":"v","journalHead":"other","objects":[]}""");
        Assert.That(
            await ComplianceArchive.VerifyAsync(_bucket, Folder, TimeProvider.System, _reports, CancellationToken.None), Has.Some.Contains("its name is not its digest"));
    }

    [Test]
    public async Task An_empty_folder_has_no_manifest() =>
        Assert.That(
            await ComplianceArchive.VerifyAsync(_bucket, "nothing", TimeProvider.System, _reports, CancellationToken.None),
            Is.EqualTo(new[] { "there is no manifest under 'nothing'" }));

    [TestCase("../x")]
    [TestCase("/x")]
    [TestCase("a//b")]
    [TestCase("a/ b")]
    public async Task Keys_that_mean_different_things_to_different_buckets_are_refused(string key)
    {
        var file = _evidence.FullPath("SmokeTest/ci.zip");
        await Assert.ThrowsAsync<RolloutException>(() => _bucket.PutAsync(key, file, "", true, CancellationToken.None));
    }

    private Task<ArchiveManifest> StoreAsync() =>
        ComplianceArchive.StoreAsync("v2026.11.1", [new ArchiveSource(_evidence)], _bucket, Root, "1", "head-of-chain", TimeProvider.System, _reports, CancellationToken.None);

    private async Task DamageAsync(string key, string content)
    {
        if (_ceph is not null)
        {
            await _ceph.WriteAsync(_name, key, content);
        }
        else if (_s3 is not null)
        {
            _s3.Objects[key] = System.Text.Encoding.UTF8.GetBytes(content);
        }
        else
        {
            await File.WriteAllTextAsync(Path.Combine(_directory, "bucket", key), content);
        }
    }
}
