using Rollout.Archive;
using Rollout.Tests.Support;

namespace Rollout.Tests.Archive;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class S3BucketTests
{
    private const string Sha256OfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    private readonly string _file = Path.GetTempFileName();
    private S3Double _s3 = null!;

    [SetUp]
    public async Task StartAsync()
    {
        await File.WriteAllTextAsync(_file, "hello");
        _s3 = await S3Double.StartAsync();
    }

    [TearDown]
    public async Task StopAsync()
    {
        await _s3.DisposeAsync();
        File.Delete(_file);
    }

    [Test]
    public async Task An_object_carries_our_digest_and_is_read_back()
    {
        using var bucket = _s3.Bucket();
        Assert.That(await PutAsync(bucket), Is.True);
        Assert.That(_s3.Requests.Select(r => r.Method), Is.EqualTo(new[] { "GET", "PUT", "GET" }));
        Assert.That(_s3.Requests.ElementAt(1).Header("x-amz-meta-sha256"), Is.EqualTo(Sha256OfHello));
        Assert.That(await PutAsync(bucket), Is.False, "the same content is there");
    }

    [Test]
    public async Task A_storage_without_conditional_writes_is_looked_at_before_each()
    {
        using var bucket = _s3.Bucket();
        _s3.Troubles.Enqueue(new Reply(501, "<Error><Code>NotImplemented</Code></Error>", "application/xml"));
        Assert.That(await PutAsync(bucket, mayBeThere: false), Is.True);
        Assert.That(_s3.Requests.Select(r => (r.Method, r.Header("If-None-Match"))), Is.EqualTo(new (string, string?)[] { ("PUT", "*"), ("GET", null), ("PUT", null), ("GET", null) }));
    }

    [Test]
    public async Task Slow_down_and_broken_connections_are_repeated()
    {
        using var bucket = _s3.Bucket();
        _s3.Troubles.Enqueue(new Reply(503, "<Error><Code>SlowDown</Code></Error>", "application/xml"));
        _s3.Troubles.Enqueue(Reply.Cut);
        Assert.That(await PutAsync(bucket), Is.True);
    }

    [Test]
    public async Task A_read_that_breaks_in_the_middle_is_made_again()
    {
        using var bucket = _s3.Bucket();
        await PutAsync(bucket);
        _s3.Troubles.Enqueue(Reply.HalfOf(new byte[200_000]));
        Assert.That(await bucket.DigestAsync("a/b", CancellationToken.None), Is.EqualTo(Sha256OfHello));
    }

    [Test]
    public async Task An_upload_whose_answer_is_lost_is_found_and_not_made_twice()
    {
        using var bucket = _s3.Bucket();
        _s3.LosesAnswers = 1;
        Assert.That(await PutAsync(bucket, mayBeThere: false), Is.False, "the second attempt finds what the first one stored");
        Assert.That(_s3.Requests.Count(r => r.Method == "PUT"), Is.EqualTo(2));
        Assert.That(_s3.Stored, Is.EqualTo(1));
    }

    [Test]
    public async Task A_storage_that_stalls_is_given_up()
    {
        using var bucket = _s3.Bucket(patience: TimeSpan.FromMilliseconds(100));
        for (var i = 0; i < 20; i++)
        {
            _s3.Troubles.Enqueue(Reply.Stall);
        }

        var failure = (await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!;
        Assert.That(failure.Message, Does.Contain("gave no answer").And.Contain("nothing moved for 0.1 s").And.Contain("compliance"));
        Assert.That(failure.Hint, Does.Contain("look whether it is full"));
    }

    // All that eight uploads at once may try is forty; three stalls before each of sixty files would be waited out one by one.
    [TestCase(int.MaxValue)]
    [TestCase(3)]
    public async Task A_full_storage_that_never_answers_uploads_is_given_up_as_a_whole(int stalls)
    {
        using var bucket = _s3.Bucket(patience: TimeSpan.FromMilliseconds(100));
        _s3.StallsEachUpload = stalls;
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => ArchiveAsync(bucket, 60)))!;
        Assert.That(failure.Message, Does.Match(@"stalls: nothing moved for 0.1 s in \d+ requests to bucket 'compliance', \d+ were answered; the last was for 'r/1/Step/\d+'. It was given up as a whole"));
        Assert.That(failure.Hint, Does.Contain("ceph df").And.Contain("the same command goes on"));
        Assert.That(_s3.Requests.Count(r => r.Method == "PUT"), Is.LessThan(40));
        Assert.That(_s3.Objects.Keys, Has.None.Contains("manifest-"));

        // When there is room again, the same command goes on.
        _s3.StallsEachUpload = 0;
        using var roomy = _s3.Bucket();
        Assert.That((await ArchiveAsync(roomy, 60)).Objects, Has.Count.EqualTo(60));
    }

    [Test]
    public async Task Some_uploads_that_stall_are_made_again()
    {
        using var bucket = _s3.Bucket(patience: TimeSpan.FromSeconds(2));
        _s3.StallsEachUpload = 1;
        Assert.That((await ArchiveAsync(bucket, 4)).Objects, Has.Count.EqualTo(4));
    }

    [Test]
    public async Task A_quota_that_is_used_up_is_told()
    {
        using var bucket = _s3.Bucket();
        _s3.Troubles.Enqueue(new Reply(403, "<Error><Code>QuotaExceeded</Code></Error>", "application/xml"));
        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!.Hint, Does.Contain("quota is used up"));
    }

    [Test]
    public async Task A_key_that_may_not_list_is_refused_what_is_missing_and_told_so()
    {
        using var bucket = _s3.Bucket();
        _s3.Troubles.Enqueue(new Reply(403, "<Error><Code>AccessDenied</Code></Error>", "application/xml"));
        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!.Hint, Does.Contain("may not list is refused what is missing"));
    }

    [TestCase(502, "<html><body>Bad Gateway</body></html>", "text/html", "HTTP 502")]
    [TestCase(200, "<html><body>Log in</body></html>", "text/html", "no list of bucket 'compliance'")]
    [TestCase(400, "<Error><Code>XAmzContentSHA256Mismatch</Code><Message>sums</Message></Error>", "application/xml", "XAmzContentSHA256Mismatch")]
    public async Task What_is_no_storages_answer_is_told(int status, string body, string type, string says)
    {
        using var bucket = _s3.Bucket();
        for (var i = 0; i < 20; i++)
        {
            _s3.Troubles.Enqueue(new Reply(status, body, type));
        }

        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => bucket.ListAsync("p/", CancellationToken.None)))!.Message, Does.Contain(says));
    }

    [Test]
    public async Task A_storage_that_is_not_there_is_told()
    {
        using var bucket = _s3.Bucket();
        await _s3.DisposeAsync();
        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket)))!.Message, Does.Contain("gave no answer").And.Contain("Connection refused"));
    }

    [Test]
    public async Task Cancellation_ends_a_stalled_upload()
    {
        using var bucket = _s3.Bucket();
        _s3.Troubles.Enqueue(Reply.Stall);
        using var cancelled = new CancellationTokenSource();
        var put = bucket.PutAsync("a/b", _file, Sha256OfHello, mayBeThere: false, cancelled.Token);
        Assert.That(() => _s3.Requests.Count(), Is.EqualTo(1).After(5000, 5));
        await cancelled.CancelAsync();
        await Assert.ThatAsync(() => put, Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task Trouble_that_stays_is_reported()
    {
        using var bucket = _s3.Bucket();
        for (var i = 0; i < 20; i++)
        {
            _s3.Troubles.Enqueue(new Reply(503, "<Error><Code>SlowDown</Code><Message>too fast</Message></Error>", "application/xml"));
        }

        Assert.That(
            (await Assert.ThrowsAsync<RolloutException>(() => bucket.ReadAsync("a", CancellationToken.None)))!.Message,
            Does.Contain("SlowDown").And.Contain("too fast"));
    }

    [Test]
    public async Task A_clock_that_is_wrong_is_set_by_the_servers()
    {
        _s3.Ahead = TimeSpan.FromHours(3);
        using var bucket = _s3.Bucket();
        Assert.That(await bucket.ListAsync("", CancellationToken.None), Is.Empty);
        Assert.That(await PutAsync(bucket), Is.True);
    }

    [Test]
    public async Task A_wrong_region_is_explained()
    {
        using var bucket = _s3.Bucket(region: "us-east-1");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => bucket.ReadAsync("a", CancellationToken.None)))!;
        Assert.That(exception.Hint, Does.Contain("region"));
    }

    [Test]
    public async Task A_wrong_key_shows_no_key()
    {
        using var bucket = _s3.Bucket(secret: "the-wrong-key");
        var exception = (await Assert.ThrowsAsync<RolloutException>(() => bucket.ListAsync("", CancellationToken.None)))!;
        Assert.That(exception.ToString(), Does.Not.Contain("the-wrong-key"));
    }

    [Test]
    public async Task A_file_that_changed_since_it_was_recorded_is_not_sent()
    {
        using var bucket = _s3.Bucket();
        await File.AppendAllTextAsync(_file, "!");
        await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket));
        Assert.That(_s3.Requests, Is.Empty);
    }

    [Test]
    public async Task A_bucket_that_stores_something_else_is_found_out()
    {
        using var bucket = _s3.Bucket();
        _s3.Troubles.Enqueue(new Reply(200));
        _s3.Objects["a/b"] = "something else"u8.ToArray();
        Assert.That((await Assert.ThrowsAsync<RolloutException>(() => PutAsync(bucket, mayBeThere: false)))!.Message, Does.Contain("other content"));
    }

    [Test]
    public async Task Lists_are_read_page_by_page()
    {
        foreach (var key in new[] { "p/c", "p/a", "p/b", "p/d", "p/e", "other" })
        {
            _s3.Objects[key] = [1];
        }

        using var bucket = _s3.Bucket();
        Assert.That(
            (await bucket.ListAsync("p/", CancellationToken.None)).Select(o => o.Key),
            Is.EqualTo(new[] { "p/a", "p/b", "p/c", "p/d", "p/e" }));
    }

    private async Task<ArchiveManifest> ArchiveAsync(S3Bucket bucket, int files)
    {
        var directory = Directory.CreateTempSubdirectory("rollout-archive-").FullName;
        try
        {
            var evidence = new EvidenceFolder(directory);
            for (var i = 0; i < files; i++)
            {
                await evidence.WriteAsync("Step", $"{i}", $"evidence {i}", CancellationToken.None);
            }

            return await ComplianceArchive.StoreAsync("v1", [new ArchiveSource(evidence)], bucket, "r", "1", "head", _s3.Time, new Reports(), CancellationToken.None);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private Task<bool> PutAsync(S3Bucket bucket, bool mayBeThere = true) => bucket.PutAsync("a/b", _file, Sha256OfHello, mayBeThere, CancellationToken.None);
}
