using System.Net;
using System.Security.Cryptography;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Polly;
using Polly.Retry;

namespace Rollout.Archive;

/// <summary>Where an S3 bucket is, and with which key it is written.</summary>
/// <param name="Endpoint">Without the bucket, as <c>https://eu-central-1.linodeobjects.com</c>.</param>
/// <param name="Region">For signing: the cluster's name, or <c>us-east-1</c>.</param>
public sealed record S3Location(Uri Endpoint, string Bucket, string Region, string AccessKey, Secret SecretKey)
{
    /// <summary>How long nothing may move, neither sent nor received, before an attempt is given up.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>What keeps an object from being deleted or replaced before its time; null where nothing does.</summary>
    public ObjectLock? Lock { get; init; }
}

/// <summary>S3 Object Lock, which the bucket must have been made with.</summary>
/// <param name="IsCompliance">Nobody can shorten it, not even the bucket's owner; otherwise a key with a special right can (governance mode).</param>
/// <param name="Retention">Counted from the upload.</param>
public sealed record ObjectLock(bool IsCompliance, TimeSpan Retention);

/// <summary>
/// S3-compatible storage by AWS's own library, with what Linode's object storage needs: path style, no checksum trailers, no chunked signing. Each PUT carries
/// <c>Content-MD5</c>, which Object Lock demands, is signed with our SHA-256, keeps it as metadata, is made only where the key is free, and is read back. Conditional
/// writes are not supported everywhere, so what may be there is also looked for. There is no HEAD: a refusal of one says nothing of its reason.
/// </summary>
public sealed class S3Bucket : IComplianceBucket, IDisposable
{
    private const long LargestObject = 5L * 1024 * 1024 * 1024;
    private const int LargestManifest = 64 * 1024 * 1024;

    // Each file has some attempts of its own, which would be hours with thousands of files: of all requests together only these may stall, and one in so many.
    private const int MostStalls = 16;
    private const int AnswersToAStall = 20;

    private const string Full =
        "Storage without room takes a file and never answers: look whether it is full, read-only or degraded (Ceph: ceph health detail, ceph df). What was stored stays, so the same command goes on; Archive.Endpoint says where it is.";

    private readonly S3Location _location;
    private readonly TimeProvider _time;
    private readonly HttpClient _http = new(new WithoutExpectation()) { Timeout = Timeout.InfiniteTimeSpan };
    private readonly AmazonS3Client _s3;
    private readonly ResiliencePipeline _retry;
    private volatile bool _isConditional = true;
    private int _stalled;
    private int _answered;

    public S3Bucket(S3Location location, TimeProvider time)
    {
        _location = location;
        _time = time;
        _s3 = new AmazonS3Client(new BasicAWSCredentials(location.AccessKey, location.SecretKey.Reveal()), new AmazonS3Config
        {
            ServiceURL = location.Endpoint.GetLeftPart(UriPartial.Authority),
            AuthenticationRegion = location.Region,
            ForcePathStyle = true,
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,

            // The one is for a clock that is off, which the library sets by the server's; what else may pass is repeated below.
            MaxErrorRetry = 1,
            HttpClientFactory = new OneClient(_http),
        });
        _retry = new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                MaxRetryAttempts = 4,
                BackoffType = DelayBackoffType.Exponential,
                Delay = TimeSpan.FromMilliseconds(300),
                UseJitter = true,
                ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Exception is { } exception && MayPass(exception)),
            })
            .Build();
    }

    public async Task<bool> PutAsync(string key, string file, string sha256, bool mayBeThere, CancellationToken cancellationToken)
    {
        BucketKey.Check(key);
        var (md5, length) = await Task.Run(() => Md5Of(file, sha256, cancellationToken), cancellationToken);
        if (length > LargestObject)
        {
            throw new RolloutException($"'{file}' is larger than one PUT may be (5 GiB).");
        }

        var until = _location.Lock is { } wanted ? _time.GetUtcNow() + wanted.Retention : (DateTimeOffset?)null;
        var isNew = !(mayBeThere && await IsThereAsync(key, cancellationToken))
            && await SendAsync(key, file, sha256, md5, until, cancellationToken);
        var (actual, retained) = await AskAsync(key, idle => DigestOnceAsync(key, idle), cancellationToken);
        if (actual != sha256)
        {
            throw BucketKey.Taken(key, actual, sha256);
        }

        // Storage keeps whole seconds. What an earlier attempt stored is locked from then on.
        if (until is { } end && (retained is null || retained < (isNew ? end - TimeSpan.FromSeconds(1) : _time.GetUtcNow())))
        {
            throw new RolloutException(
                $"Bucket '{_location.Bucket}' holds '{key}' without the lock until {end:u}: {(retained is { } seen ? $"it is locked until {seen:u}" : "it is not locked")}.",
                "Make the bucket with Object Lock, which cannot be added later, or set Archive.LockDays to 0.");
        }

        return isNew;
    }

    public async Task<IReadOnlyList<BucketObject>> ListAsync(string prefix, CancellationToken cancellationToken)
    {
        var found = new List<BucketObject>();
        string? token = null;
        do
        {
            var from = token;
            var page = await ListAsync(new ListObjectsV2Request { Prefix = prefix, ContinuationToken = from }, cancellationToken);
            found.AddRange((page.S3Objects ?? []).Select(o => new BucketObject(o.Key, o.Size ?? 0)));
            token = page.IsTruncated == true ? page.NextContinuationToken : null;
        }
        while (token is not null);

        return [.. found.OrderBy(o => o.Key, StringComparer.Ordinal)];
    }

    public Task<byte[]> ReadAsync(string key, CancellationToken cancellationToken)
    {
        BucketKey.Check(key);
        return AskAsync(
            key,
            async idle =>
            {
                using var response = await _s3.GetObjectAsync(_location.Bucket, key, idle.Token);
                using var content = new MemoryStream();
                await foreach (var part in PartsAsync(response, idle))
                {
                    content.Write(part.Span);
                    if (content.Length > LargestManifest)
                    {
                        throw BucketKey.TooLarge(key, LargestManifest);
                    }
                }

                return content.ToArray();
            },
            cancellationToken);
    }

    public async Task<string> DigestAsync(string key, CancellationToken cancellationToken)
    {
        BucketKey.Check(key);
        return (await AskAsync(key, idle => DigestOnceAsync(key, idle), cancellationToken)).Sha256;
    }

    public void Dispose()
    {
        _s3.Dispose();
        _http.Dispose();
    }

    private static bool MayPass(Exception exception) => exception switch
    {
        AmazonServiceException { StatusCode: HttpStatusCode.NotImplemented } => false,
        AmazonServiceException { StatusCode: >= HttpStatusCode.InternalServerError or HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout } => true,
        AmazonServiceException { ErrorCode: "SlowDown" or "RequestTimeout" } => true,
        AmazonServiceException { StatusCode: 0, InnerException: { } inner } => MayPass(inner),
        _ => exception is HttpRequestException or IOException,
    };

    // Both in one reading, so that a file that is not what was recorded is not sent.
    private static (string Md5, long Length) Md5Of(string file, string sha256, CancellationToken cancellationToken)
    {
#pragma warning disable CA5351 // Content-MD5 is what the protocol asks for; what proves the content is SHA-256.
        using var md5 = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
#pragma warning restore CA5351
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var length = 0L;
        FileDigest.Read(
            file,
            part =>
            {
                md5.AppendData(part);
                sha.AppendData(part);
                length += part.Length;
            },
            cancellationToken);
        FileDigest.Expect(Convert.ToHexStringLower(sha.GetHashAndReset()), sha256, file);
        return (Convert.ToBase64String(md5.GetHashAndReset()), length);
    }

    private static async IAsyncEnumerable<ReadOnlyMemory<byte>> PartsAsync(GetObjectResponse response, Idle idle)
    {
        var buffer = new byte[81920];
        int count;
        while ((count = await response.ResponseStream.ReadAsync(buffer, idle.Token)) > 0)
        {
            idle.Moved();
            yield return buffer.AsMemory(0, count);
        }
    }

    private async Task<(string Sha256, DateTimeOffset? Retained)> DigestOnceAsync(string key, Idle idle)
    {
        using var response = await _s3.GetObjectAsync(_location.Bucket, key, idle.Token);
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await foreach (var part in PartsAsync(response, idle))
        {
            sha.AppendData(part.Span);
        }

        DateTimeOffset? retained = response.ObjectLockMode is not null && response.ObjectLockRetainUntilDate is { } until
            ? new DateTimeOffset(until.ToUniversalTime())
            : null;
        return (Convert.ToHexStringLower(sha.GetHashAndReset()), retained);
    }

    private async Task<bool> IsThereAsync(string key, CancellationToken cancellationToken)
    {
        var page = await ListAsync(new ListObjectsV2Request { Prefix = key, MaxKeys = 1 }, cancellationToken);
        return page.S3Objects?.Any(o => o.Key == key) == true;
    }

    // A page for people that a proxy put in between reads as a list without objects; each real one names its bucket.
    private async Task<ListObjectsV2Response> ListAsync(ListObjectsV2Request request, CancellationToken cancellationToken)
    {
        request.BucketName = _location.Bucket;
        var page = await AskAsync(request.Prefix, idle => _s3.ListObjectsV2Async(request, idle.Token), cancellationToken);
        return page.Name == _location.Bucket
            ? page
            : throw new RolloutException(
                $"What {_location.Endpoint.Authority} answers is no list of bucket '{_location.Bucket}'{(page.Name is { Length: > 0 } other ? $", but of '{other}'" : string.Empty)}.",
                "Archive.Endpoint must be the storage itself, without a bucket and without a proxy that answers for it.");
    }

    /// <returns>False where the storage says that the key has an object.</returns>
    private async Task<bool> SendAsync(string key, string file, string sha256, string md5, DateTimeOffset? until, CancellationToken cancellationToken)
    {
        try
        {
            await AskAsync(
                key,
                async idle =>
                {
                    await using var content = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 81920, FileOptions.Asynchronous);
                    var put = new PutObjectRequest
                    {
                        BucketName = _location.Bucket,
                        Key = key,
                        InputStream = content,
                        AutoCloseStream = false,
                        ContentType = "application/octet-stream",
                        UseChunkEncoding = false,
                        MD5Digest = md5,
                        IfNoneMatch = _isConditional ? "*" : null,
                    };
                    put.Metadata["sha256"] = sha256;

                    // Signed with it, the storage itself refuses what is not the file that was recorded.
                    put.Headers["x-amz-content-sha256"] = sha256;
                    put.StreamTransferProgress += (_, _) => idle.Moved();
                    if (until is { } locked)
                    {
                        put.ObjectLockMode = _location.Lock!.IsCompliance ? ObjectLockMode.Compliance : ObjectLockMode.Governance;
                        put.ObjectLockRetainUntilDate = locked.UtcDateTime;
                    }

                    return await _s3.PutObjectAsync(put, idle.Token);
                },
                cancellationToken);
            return true;
        }
        catch (RolloutException exception) when (exception.InnerException is AmazonS3Exception { StatusCode: HttpStatusCode.PreconditionFailed })
        {
            return false;
        }
        catch (RolloutException exception) when (_isConditional && exception.InnerException is AmazonS3Exception { StatusCode: HttpStatusCode.NotImplemented })
        {
            _isConditional = false;
            return !await IsThereAsync(key, cancellationToken) && await SendAsync(key, file, sha256, md5, until, cancellationToken);
        }
    }

    private async Task<T> AskAsync<T>(string key, Func<Idle, Task<T>> ask, CancellationToken cancellationToken)
    {
        try
        {
            return await _retry.ExecuteAsync(
                async token =>
                {
                    using var idle = new Idle(_location.Patience, token);
                    try
                    {
                        var answer = await ask(idle);
                        Interlocked.Increment(ref _answered);
                        return answer;
                    }
                    catch (OperationCanceledException exception) when (!token.IsCancellationRequested)
                    {
                        throw Stalled(key, exception);
                    }
                },
                cancellationToken);
        }
        catch (AmazonServiceException exception) when (exception.StatusCode != 0)
        {
            throw Refused(key, exception);
        }
        catch (Exception exception) when (exception is AmazonClientException or HttpRequestException or IOException)
        {
            throw new RolloutException(
                $"Object storage at {_location.Endpoint.Authority} gave no answer for '{key}' of bucket '{_location.Bucket}': {Innermost(exception)}.",
                exception.InnerException is OperationCanceledException ? Full : "Archive.Endpoint says where it is; what was stored stays, so the same command goes on.",
                innerException: exception);
        }
    }

    // A few are repeated; too many end everything that is stored or read here.
    private Exception Stalled(string key, OperationCanceledException exception)
    {
        var nothing = $"nothing moved for {_location.Patience.TotalSeconds:0.#} s";
        var (stalled, answered) = (Interlocked.Increment(ref _stalled), Volatile.Read(ref _answered));
        return stalled <= MostStalls + (answered / AnswersToAStall)
            ? new IOException(nothing, exception)
            : new RolloutException(
                $"Object storage at {_location.Endpoint.Authority} stalls: {nothing} in {stalled} requests to bucket '{_location.Bucket}', {answered} were answered; the last was for '{key}'. It was given up as a whole.",
                Full,
                innerException: exception);
    }

    private RolloutException Refused(string key, AmazonServiceException exception) => new(
        $"Bucket '{_location.Bucket}' at {_location.Endpoint.Authority} answers HTTP {(int)exception.StatusCode} {exception.ErrorCode} for '{key}': {Words(exception)}.",
        exception.ErrorCode switch
        {
            "SignatureDoesNotMatch" => "The secret key or the signing region is wrong; the region is the storage cluster's name.",
            "AccessDenied" or "InvalidAccessKeyId" => "The access key is unknown, or may not read, list and write this bucket; one that may not list is refused what is missing.",
            "NoSuchBucket" => "Give the endpoint without the bucket, and the bucket's name beside it.",
            "QuotaExceeded" => "The bucket's or the user's quota is used up: raise it, and run the same command again.",
            "RequestTimeTooSkewed" => "This machine's clock and the storage's differ by more than 15 minutes.",
            "InvalidRequest" or "InvalidArgument" or "ObjectLockConfigurationNotFoundError" when _location.Lock is not null =>
                "A lock needs a bucket that was made with Object Lock; or set Archive.LockDays to 0.",
            _ => null,
        },
        innerException: exception);

    private static string Words(Exception exception) =>
        exception.Message is { Length: > 0 } words ? (words.Length > 200 ? words[..200] : words).TrimEnd('.').ReplaceLineEndings(" ") : "it says nothing";

    private static string Innermost(Exception exception)
    {
        while (exception.InnerException is { } inner and not OperationCanceledException)
        {
            exception = inner;
        }

        return Words(exception);
    }

    private sealed class OneClient(HttpClient http) : HttpClientFactory
    {
        public override HttpClient CreateHttpClient(IClientConfig clientConfig) => http;

        public override bool UseSDKHttpClientCaching(IClientConfig clientConfig) => false;

        public override bool DisposeHttpClientsAfterUse(IClientConfig clientConfig) => false;
    }

    /// <summary>
    /// Sends a body without asking first. Ceph's gateway leaves the body of a refused PUT that had asked in the connection, and answers the next request there,
    /// whosever it is, with 405: it reads its method as "…bodyGET".
    /// </summary>
    private sealed class WithoutExpectation() : DelegatingHandler(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false })
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.ExpectContinue = false;
            return base.SendAsync(request, cancellationToken);
        }
    }

    /// <summary>Ends an attempt in which nothing moves.</summary>
    private sealed class Idle : IDisposable
    {
        private readonly CancellationTokenSource _ended;
        private readonly TimeSpan _patience;

        public Idle(TimeSpan patience, CancellationToken cancellationToken)
        {
            _patience = patience;
            _ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            Moved();
        }

        public CancellationToken Token => _ended.Token;

        public void Moved() => _ended.CancelAfter(_patience);

        public void Dispose() => _ended.Dispose();
    }
}
