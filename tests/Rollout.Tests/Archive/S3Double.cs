using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Rollout.Archive;
using Rollout.Tests.Support;

namespace Rollout.Tests.Archive;

/// <summary>
/// An S3 bucket as Linode's: path style, signatures checked by a calculation of its own, Content-MD5 demanded, checksum trailers refused,
/// pages of two keys.
/// </summary>
internal sealed partial class S3Double : IAsyncDisposable
{
    private const string AccessKey = "AKTEST";
    private const string SecretKey = "s3-secret-key";

    private readonly ConcurrentDictionary<string, int> _stalls = new(StringComparer.Ordinal);
    private HttpDouble _http = null!;

    public ConcurrentDictionary<string, byte[]> Objects { get; } = new(StringComparer.Ordinal);

    /// <summary>Answered instead of the truth, one a request.</summary>
    public Queue<Reply> Troubles { get; } = new();

    /// <summary>How many answers to uploads that took effect are lost.</summary>
    public int LosesAnswers { get; set; }

    /// <summary>How often each upload gets no answer and takes no effect, as where there is no room.</summary>
    public int StallsEachUpload { get; set; }

    /// <summary>How many uploads took effect.</summary>
    public int Stored { get; private set; }

    /// <summary>The server's clock.</summary>
    public TimeSpan Ahead { get; set; }

    public IEnumerable<Seen> Requests => _http.Requests;

    public HastyTime Time { get; } = new();

    public static async Task<S3Double> StartAsync()
    {
        var s3 = new S3Double();
        s3._http = await HttpDouble.StartAsync(s3.Answer);
        return s3;
    }

    public S3Bucket Bucket(string secret = SecretKey, string region = "eu-central-1", TimeSpan? patience = null) =>
        new(new S3Location(_http.Address, "compliance", region, AccessKey, new Secret(secret)) { Patience = patience ?? TimeSpan.FromMinutes(1) }, Time);

    public async ValueTask DisposeAsync() => await _http.DisposeAsync();

    private static Reply Error(int code, string name) =>
        new(code, $"<?xml version=\"1.0\"?><Error><Code>{name}</Code><Message>said {name}</Message></Error>", "application/xml");

    [GeneratedRegex("Credential=(?<key>[^/]+)/(?<scope>[^,]+), ?SignedHeaders=(?<headers>[^,]+), ?Signature=(?<signature>[0-9a-f]+)")]
    private static partial Regex Authorization();

    private static byte[] Hmac(byte[] key, string text) => HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(text));

    private Reply Answer(Seen seen)
    {
        if (Troubles.TryDequeue(out var trouble))
        {
            return trouble;
        }

        if (Refusal(seen) is { } refusal)
        {
            return refusal;
        }

        var key = seen.Path["/compliance".Length..].TrimStart('/');
        switch (seen.Method)
        {
            case "PUT" when _stalls.AddOrUpdate(key, 1, (_, count) => count + 1) <= StallsEachUpload:
                return Reply.Stall;
            case "PUT":
                if (seen.Header("If-None-Match") == "*" && Objects.ContainsKey(key))
                {
                    return Error(412, "PreconditionFailed");
                }

                Objects[key] = seen.Body;
                Stored++;
                return LosesAnswers-- > 0 ? Reply.Cut : new Reply(200, "");
            case "GET" when key.Length == 0:
                return List(seen.Query);
            default:
                return Objects.TryGetValue(key, out var content) ? new Reply(200, Bytes: content) : Error(404, "NoSuchKey");
        }
    }

    private Reply? Refusal(Seen seen)
    {
        var now = TimeProvider.System.GetUtcNow() + Ahead;
        var date = DateTimeOffset.ParseExact(
            seen.Header("x-amz-date")!, "yyyyMMdd'T'HHmmss'Z'", null, System.Globalization.DateTimeStyles.AssumeUniversal);
        if ((now - date).Duration() > TimeSpan.FromMinutes(15))
        {
            return Error(403, "RequestTimeTooSkewed") with { Headers = new Dictionary<string, string> { ["Date"] = now.ToString("R") } };
        }

        if (
            Convert.ToHexStringLower(SHA256.HashData(seen.Body)) != seen.Header("x-amz-content-sha256")
                || seen.Header("x-amz-trailer") is not null)
        {
            return Error(400, "XAmzContentSHA256Mismatch");
        }

#pragma warning disable CA5351 // The protocol's own check.
        if (seen.Method == "PUT" && Convert.ToBase64String(MD5.HashData(seen.Body)) != seen.Header("Content-MD5"))
#pragma warning restore CA5351
        {
            return Error(400, "BadDigest");
        }

        var match = Authorization().Match(seen.Header("Authorization")!);
        var names = match.Groups["headers"].Value.Split(';');
        var query = string.Join(
            '&', seen.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
        var headers = string.Concat(names.Select(n => $"{n}:{seen.Header(n)}\n"));
        var canonical = $"{seen.Method}\n{seen.Path}\n{query}\n{headers}\n{string.Join(';', names)}\n{seen.Header("x-amz-content-sha256")}";
        var digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(canonical)));
        var scope = match.Groups["scope"].Value;
        var toSign = $"AWS4-HMAC-SHA256\n{seen.Header("x-amz-date")}\n{scope}\n{digest}";
        var parts = scope.Split('/');
        var key = parts.Aggregate(Encoding.UTF8.GetBytes("AWS4" + SecretKey), Hmac);
        return parts[1] == "eu-central-1" && Convert.ToHexStringLower(Hmac(key, toSign)) == match.Groups["signature"].Value
            ? null
            : Error(403, "SignatureDoesNotMatch");
    }

    private Reply List(string query)
    {
        var wanted = query.TrimStart('?').Split('&').Select(p => p.Split('=')).ToDictionary(p => p[0], p => Uri.UnescapeDataString(p[1]));
        var keys = Objects.Keys.Where(k => k.StartsWith(wanted["prefix"], StringComparison.Ordinal)).Order(StringComparer.Ordinal)
            .Where(k => !wanted.TryGetValue("continuation-token", out var after) || string.CompareOrdinal(k, after) > 0).ToList();
        var page = keys.Take(2).ToList();
        var more = keys.Count > 2;
        return new Reply(
            200,
            $"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>compliance</Name><IsTruncated>{(more ? "true" : "false")}</IsTruncated>"
                + (more ? $"<NextContinuationToken>{page[^1]}</NextContinuationToken>" : "")
                + string.Concat(
                    page.Select(k => $"<Contents><Key>{k}</Key><Size>{Objects[k].Length}</Size></Contents>")) + "</ListBucketResult>",
            "application/xml");
    }
}
