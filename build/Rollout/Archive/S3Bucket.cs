using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Xml.Linq;

namespace Rollout.Archive;

/// <summary>Where an S3 bucket is, and with which key it is written.</summary>
/// <param name="Endpoint">Without the bucket, as <c>https://eu-central-1.linodeobjects.com</c>.</param>
/// <param name="Region">For signing: the cluster's name, or <c>us-east-1</c>.</param>
public sealed record S3Location(Uri Endpoint, string Bucket, string Region, string AccessKey, Secret SecretKey);

/// <summary>
/// S3-compatible storage, path style. Each PUT carries <c>Content-MD5</c>, which Object Lock demands, and our SHA-256 as metadata;
/// conditional
/// writes are not supported everywhere, so a HEAD comes first and a GET last.
/// </summary>
public sealed class S3Bucket(S3Location location, TimeProvider time) : IComplianceBucket, IDisposable
{
    private const int Attempts = 5;
    private const long LargestObject = 5L * 1024 * 1024 * 1024;

    private static readonly string EmptySha256 = Convert.ToHexStringLower(SHA256.HashData([]));

    private readonly HttpClient _http = new(
        new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false })
    { Timeout = TimeSpan.FromMinutes(10) };
    private TimeSpan _skew;

    public async Task<bool> PutAsync(string key, string file, string sha256, CancellationToken cancellationToken)
    {
        BucketKey.Check(key);
        await FileDigest.ExpectAsync(file, sha256, file, cancellationToken);
        if (new FileInfo(file).Length > LargestObject)
        {
            throw new RolloutException($"'{file}' is larger than one PUT may be (5 GiB).");
        }

        if (await ExistsAsync(key, cancellationToken))
        {
            await CompareAsync(key, sha256, cancellationToken);
            return false;
        }

        var md5 = await Md5Async(file, cancellationToken);
        using var put = await SendAsync(
            HttpMethod.Put,
            Address(key),
            sha256,
            () => Content(file, md5),
            new() { ["x-amz-meta-sha256"] = sha256, ["content-md5"] = md5 },
            cancellationToken);
        await ThrowUnlessOkAsync(put, key, cancellationToken);
        await CompareAsync(key, sha256, cancellationToken);
        return true;
    }

    public async Task<IReadOnlyList<BucketObject>> ListAsync(string prefix, CancellationToken cancellationToken)
    {
        var found = new List<BucketObject>();
        string? token = null;
        do
        {
            var query = "?list-type=2" + (
                token is null ? "" : $"&continuation-token={Uri.EscapeDataString(token)}") + $"&prefix={Uri.EscapeDataString(prefix)}";
            using var response = await SendAsync(HttpMethod.Get, new Uri(Address(null), query), EmptySha256, null, [], cancellationToken);
            await ThrowUnlessOkAsync(response, prefix, cancellationToken);
            var page = XDocument.Parse(await response.Content.ReadAsStringAsync(cancellationToken)).Root!;
            found.AddRange(Children(page, "Contents").Select(c => new BucketObject(
                Child(c, "Key") ?? string.Empty, long.TryParse(Child(c, "Size"), CultureInfo.InvariantCulture, out var size) ? size : 0)));
            token = Child(page, "IsTruncated") == "true" ? Child(page, "NextContinuationToken") : null;
        }
        while (token is not null);

        return [.. found.OrderBy(o => o.Key, StringComparer.Ordinal)];
    }

    public async Task<byte[]> ReadAsync(string key, CancellationToken cancellationToken)
    {
        using var response = await SendAsync(HttpMethod.Get, Address(BucketKey.Check(key)), EmptySha256, null, [], cancellationToken);
        await ThrowUnlessOkAsync(response, key, cancellationToken);
        return await response.Content.ReadAsByteArrayAsync(cancellationToken);
    }

    public void Dispose() => _http.Dispose();

    private static IEnumerable<XElement> Children(XElement element, string name) => element.Elements().Where(e => e.Name.LocalName == name);

    private static string? Child(XElement element, string name) => Children(element, name).FirstOrDefault()?.Value;

    private static StreamContent Content(string file, string md5)
    {
        var content = new StreamContent(File.OpenRead(file));
        content.Headers.ContentLength = new FileInfo(file).Length;
        content.Headers.ContentMD5 = Convert.FromBase64String(md5);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        return content;
    }

    private static async Task<string> Md5Async(string file, CancellationToken cancellationToken)
    {
        await using var stream = File.OpenRead(file);
#pragma warning disable CA5351 // Content-MD5 is what the protocol asks for; what proves the content is SHA-256.
        return Convert.ToBase64String(await MD5.HashDataAsync(stream, cancellationToken));
#pragma warning restore CA5351
    }

    private Uri Address(string? key) =>
        new($"{location.Endpoint.GetLeftPart(UriPartial.Authority)}/{location.Bucket}{(key is null ? "" : "/" + key)}");

    private async Task<bool> ExistsAsync(string key, CancellationToken cancellationToken)
    {
        using var head = await SendAsync(HttpMethod.Head, Address(key), EmptySha256, null, [], cancellationToken);
        if ((int)head.StatusCode == 404)
        {
            return false;
        }

        return head.IsSuccessStatusCode ? true : throw new RolloutException(
            $"Bucket '{location.Bucket}' at {location.Endpoint.Host} answers HTTP {(int)head.StatusCode} to whether '{key}' is there.",
            "A key that may not list a bucket gets 403 for what is missing; give it read and write for this bucket.");
    }

    private async Task CompareAsync(string key, string sha256, CancellationToken cancellationToken)
    {
        var actual = Convert.ToHexStringLower(SHA256.HashData(await ReadAsync(key, cancellationToken)));
        if (actual != sha256)
        {
            throw BucketKey.Taken(key, actual, sha256);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(
        HttpMethod method,
        Uri uri,
        string payloadSha256,
        Func<HttpContent>? content,
        Dictionary<string, string> headers,
        CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                using var request = Sign(method, uri, payloadSha256, content, headers);
                var response = await _http.SendAsync(request, cancellationToken);
                if (attempt == Attempts || !await ShouldRepeatAsync(response, cancellationToken))
                {
                    return response;
                }

                response.Dispose();
            }
            catch (HttpRequestException exception) when (attempt == Attempts)
            {
                throw new RolloutException(
                    $"Object storage at {location.Endpoint.Host} does not answer: {exception.InnerException?.Message ?? exception.Message}",
                    null,
                    ExitCode.Failed,
                    exception);
            }
            catch (HttpRequestException)
            {
                // The next attempt tells.
            }

            await Waiting.PauseAsync(TimeSpan.FromMilliseconds(150 * (1 << attempt)), time, cancellationToken);
        }
    }

    private HttpRequestMessage Sign(
        HttpMethod method, Uri uri, string payloadSha256, Func<HttpContent>? content, Dictionary<string, string> headers)
    {
        var at = time.GetUtcNow() + _skew;
        var signed = new Dictionary<string, string>(headers)
        {
            ["host"] = uri.Authority,
            ["x-amz-content-sha256"] = payloadSha256,
            ["x-amz-date"] = S3Signature.Timestamp(at),
        };
        var request = new HttpRequestMessage(method, uri) { Content = content?.Invoke() };
        foreach (var (name, value) in signed.Where(h => h.Key.StartsWith("x-amz-", StringComparison.Ordinal)))
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        request.Headers.TryAddWithoutValidation(
            "Authorization", S3Signature.Authorization(
                method.Method, uri, signed, payloadSha256, at, location.Region, location.AccessKey, location.SecretKey));
        return request;
    }

    private async Task<bool> ShouldRepeatAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var code = (int)response.StatusCode;
        if (code is 429 or >= 500)
        {
            return true;
        }

        // More than 15 minutes off: sign by the server's clock from now on.
        if (code == 403 && _skew == TimeSpan.Zero && response.Headers.Date is { } date
            && (await response.Content.ReadAsStringAsync(cancellationToken)).Contains("RequestTimeTooSkewed", StringComparison.Ordinal))
        {
            _skew = date - time.GetUtcNow();
            return true;
        }

        return false;
    }

    private async Task ThrowUnlessOkAsync(HttpResponseMessage response, string key, CancellationToken cancellationToken)
    {
        if (response.IsSuccessStatusCode)
        {
            return;
        }

        var body = await response.Content.ReadAsStringAsync(cancellationToken);
        string? code = null;
        string? message = null;
        try
        {
            var error = XDocument.Parse(body).Root!;
            (code, message) = (Child(error, "Code"), Child(error, "Message"));
        }
        catch (System.Xml.XmlException)
        {
            message = body.Length > 200 ? body[..200] : body;
        }

        throw new RolloutException(
            $"Bucket '{location.Bucket}' at {location.Endpoint.Host} answers HTTP {(int)response.StatusCode} {code} for '{key}': "
            + $"{message ?? "it says nothing"}.",
            code switch
            {
                "SignatureDoesNotMatch" => "The secret key or the signing region is wrong; the region is the storage cluster's name.",
                "AccessDenied" or "InvalidAccessKeyId" => "The access key is unknown, or may not write this bucket.",
                "NoSuchBucket" => "Give the endpoint without the bucket, and the bucket's name beside it.",
                _ => null,
            });
    }
}
