using Amazon.S3;
using Rollout.Archive;
using Rollout.Tests.Support;

namespace Rollout.Tests.Archive;

/// <summary>One gateway for all tests of archives; those that need it are skipped where it is not installed.</summary>
[SetUpFixture]
internal sealed class Ceph
{
    private static readonly SemaphoreSlim Starting = new(1);
    private static CephGateway? _gateway;

    public static async Task<CephGateway> GatewayAsync()
    {
        if (!CephGateway.IsInstalled)
        {
            Assert.Ignore("Ceph's gateway is not installed: apt-get install radosgw ceph-mon ceph-osd");
        }

        await Starting.WaitAsync();
        try
        {
            return _gateway ??= await CephGateway.StartAsync();
        }
        finally
        {
            Starting.Release();
        }
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (_gateway is not null)
        {
            await _gateway.DisposeAsync();
        }
    }
}

/// <summary>What only a real server can tell: Object Lock, and how it refuses.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class CephGatewayTests
{
    private const string Key = "rollouts/staging/v1/1/SmokeTest/ci.txt";
    private const string Sha256OfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    private readonly string _file = Path.GetTempFileName();
    private CephGateway _ceph = null!;

    [SetUp]
    public async Task StartAsync()
    {
        await File.WriteAllTextAsync(_file, "hello");
        _ceph = await Ceph.GatewayAsync();
    }

    [TearDown]
    public void Delete() => File.Delete(_file);

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_locked_object_cannot_be_deleted_before_its_time(bool isCompliance)
    {
        var name = await _ceph.CreateBucketAsync(hasLocks: true);
        using var bucket = _ceph.Open(name, new ObjectLock(isCompliance, TimeSpan.FromDays(30)));
        Assert.That(await PutAsync(bucket), Is.True);
        Assert.That(await PutAsync(bucket), Is.False, "stored and locked already");
        var refusal = await Assert.ThrowsAsync<AmazonS3Exception>(() => _ceph.DeleteVersionAsync(name, Key));
        Assert.That(refusal!.StatusCode, Is.EqualTo(System.Net.HttpStatusCode.Forbidden));
        Assert.That(await bucket.DigestAsync(Key, CancellationToken.None), Is.EqualTo(Sha256OfHello));
    }

    [Test]
    public async Task An_object_that_no_list_told_of_is_not_replaced()
    {
        var name = await _ceph.CreateBucketAsync();
        await _ceph.WriteAsync(name, Key, "what was there");
        using var bucket = _ceph.Open(name);
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket, mayBeThere: false)))!;
        Assert.That(exception.Message, Does.Contain("other content"));
        Assert.That(System.Text.Encoding.UTF8.GetString(await bucket.ReadAsync(Key, CancellationToken.None)), Is.EqualTo("what was there"));
    }

    [Test]
    public async Task Without_a_lock_it_can_be_deleted()
    {
        var name = await _ceph.CreateBucketAsync(hasLocks: true);
        using var bucket = _ceph.Open(name);
        await PutAsync(bucket);
        await _ceph.DeleteVersionAsync(name, Key);
        Assert.That(await bucket.ListAsync("", CancellationToken.None), Is.Empty);
    }

    [Test]
    public async Task A_lock_that_is_asked_of_a_bucket_without_locks_is_refused()
    {
        using var bucket = _ceph.Open(await _ceph.CreateBucketAsync(), new ObjectLock(true, TimeSpan.FromDays(30)));
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!;
        Assert.That($"{exception.Message} {exception.Hint}", Does.Contain(Key).And.Contain("Object Lock").And.Contain("Archive.LockDays"));
        Assert.That(await bucket.ListAsync("", CancellationToken.None), Is.Empty, "the refused body is not left in the connection");
    }

    [Test]
    public async Task What_was_stored_before_locks_were_asked_for_is_told()
    {
        var name = await _ceph.CreateBucketAsync(hasLocks: true);
        using var before = _ceph.Open(name);
        await PutAsync(before);
        using var bucket = _ceph.Open(name, new ObjectLock(true, TimeSpan.FromDays(30)));
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!;
        Assert.That(exception.Message, Does.Contain("it is not locked"));
    }

    [TestCase("AKROLLOUT", "wrong", "SignatureDoesNotMatch", "secret key")]
    [TestCase("AKNOBODY", "wrong", "InvalidAccessKeyId", "access key is unknown")]
    public async Task A_wrong_key_is_told_without_showing_it(string accessKey, string secretKey, string code, string hint)
    {
        using var bucket = _ceph.Open(await _ceph.CreateBucketAsync(), accessKey: accessKey, secretKey: secretKey);
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!;
        Assert.That(exception.Message, Does.Contain(code));
        Assert.That(exception.Hint, Does.Contain(hint));
        Assert.That(exception.ToString(), Does.Not.Contain(secretKey));
    }

    [Test]
    public async Task A_bucket_that_does_not_exist_is_told()
    {
        using var bucket = _ceph.Open("nobodys-bucket");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!;
        Assert.That(exception.Message, Does.Contain("NoSuchBucket"));
        Assert.That(exception.Hint, Does.Contain("endpoint without the bucket"));
    }

    private Task<bool> PutAsync(S3Bucket bucket, bool mayBeThere = true) => bucket.PutAsync(Key, _file, Sha256OfHello, mayBeThere, CancellationToken.None);
}
