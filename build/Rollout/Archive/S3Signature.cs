using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Rollout.Archive;

/// <summary>
/// AWS Signature Version 4 for one request in the Authorization header, the payload signed as a whole. The SDK is not used: its checksum
/// trailers and chunked signing are refused by Linode's object storage.
/// </summary>
public static class S3Signature
{
    /// <summary>The Authorization header's value.</summary>
    /// <param name="uri">As sent; its path needs no escaping beyond what it has.</param>
    /// <param name="headers">Every header to be signed, <c>host</c> and <c>x-amz-date</c> among them, names in lower case.</param>
    /// <param name="payloadSha256">Lower-case hexadecimal.</param>
    public static string Authorization(
        string method,
        Uri uri,
        IReadOnlyDictionary<string, string> headers,
        string payloadSha256,
        DateTimeOffset at,
        string region,
        string accessKey,
        Secret secretKey)
    {
        ArgumentNullException.ThrowIfNull(uri);
        ArgumentNullException.ThrowIfNull(headers);
        ArgumentNullException.ThrowIfNull(secretKey);
        var sorted = headers.OrderBy(h => h.Key, StringComparer.Ordinal).ToList();
        var names = string.Join(';', sorted.Select(h => h.Key));
        var canonical = string.Join(
            '\n', method, uri.AbsolutePath, Query(uri), string.Concat(
                sorted.Select(h => $"{h.Key}:{h.Value.Trim()}\n")), names, payloadSha256);
        var date = at.ToUniversalTime().ToString("yyyyMMdd", CultureInfo.InvariantCulture);
        var scope = $"{date}/{region}/s3/aws4_request";
        var digest = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(canonical)));
        var toSign = $"AWS4-HMAC-SHA256\n{Timestamp(at)}\n{scope}\n{digest}";
        var key = Hmac(Hmac(Hmac(Hmac(Encoding.UTF8.GetBytes("AWS4" + secretKey.Reveal()), date), region), "s3"), "aws4_request");
        var signature = Convert.ToHexStringLower(Hmac(key, toSign));
        return $"AWS4-HMAC-SHA256 Credential={accessKey}/{scope},SignedHeaders={names},Signature={signature}";
    }

    /// <summary>The value of <c>x-amz-date</c>.</summary>
    public static string Timestamp(DateTimeOffset at) =>
        at.ToUniversalTime().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture);

    private static string Query(Uri uri) => string.Join('&', uri.Query.TrimStart('?')
        .Split('&', StringSplitOptions.RemoveEmptyEntries)
        .Select(p => p.Contains('=', StringComparison.Ordinal) ? p : p + "=")
        .Order(StringComparer.Ordinal));

    private static byte[] Hmac(byte[] key, string text) => HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(text));
}
