using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;

namespace Rollout.Traffic;

/// <summary>The certificate in a TLS secret, read as an ingress controller reads it. The key is looked at and not kept.</summary>
/// <param name="Fingerprint">SHA-256 of the certificate, in hexadecimal.</param>
/// <param name="Names">The DNS names it is for; a subject alone names no host.</param>
public sealed record HostCertificate(
    string Fingerprint, string Subject, string Issuer, DateTimeOffset From, DateTimeOffset Until, IReadOnlyList<string> Names)
{
    private const string CertificateKey = "tls.crt";
    private const string PrivateKey = "tls.key";

    /// <summary>Reads the <c>data</c> of a secret; exactly one of the two results is null.</summary>
    public static (HostCertificate? Certificate, string? Problem) Read(JsonObject? data)
    {
        if (Text(data, CertificateKey) is not { } pem)
        {
            return (null, $"has no {CertificateKey}");
        }

        if (Text(data, PrivateKey) is not { } key)
        {
            return (null, $"has no {PrivateKey}");
        }

        try
        {
            // Refuses a key that belongs to another certificate.
            using var certificate = X509Certificate2.CreateFromPem(pem, key);
            return (Of(certificate), null);
        }
        catch (Exception exception) when (exception is CryptographicException or ArgumentException)
        {
            return (null, $"holds no certificate with its key: {exception.Message}");
        }
    }

    /// <summary>A certificate without its key, as a server presents it.</summary>
    public static HostCertificate Of(X509Certificate2 certificate) => new(
        Convert.ToHexStringLower(SHA256.HashData(certificate.RawDataMemory.Span)),
        certificate.Subject,
        certificate.Issuer,
        new DateTimeOffset(certificate.NotBefore.ToUniversalTime()),
        new DateTimeOffset(certificate.NotAfter.ToUniversalTime()),
        [.. certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SelectMany(e => e.EnumerateDnsNames())]);

    /// <summary>Whether it is for this host; a wildcard stands for one label.</summary>
    public bool Covers(string host)
    {
        var dot = host.IndexOf('.', StringComparison.Ordinal);
        return Names.Any(n => string.Equals(n, host, StringComparison.OrdinalIgnoreCase)
            || (dot > 0 && string.Equals(n, "*" + host[dot..], StringComparison.OrdinalIgnoreCase)));
    }

    /// <summary>What keeps clients of a host from using it for at least the margin, in words that follow on "the certificate"; null where nothing does.</summary>
    public string? ProblemFor(string host, DateTimeOffset now, TimeSpan margin) =>
        !Covers(host) ? $"is for {(Names.Count > 0 ? string.Join(", ", Names) : "no host")}, not for {host}"
        : From > now ? $"is not valid before {From:yyyy-MM-dd HH:mm} UTC"
        : Until <= now ? $"expired at {Until:yyyy-MM-dd HH:mm} UTC (issuer {Issuer})"
        : Until - now < margin ? $"expires at {Until:yyyy-MM-dd HH:mm} UTC, in {Waiting.Words(Until - now)} (issuer {Issuer}); it must be valid for {margin.TotalDays:0} days more"
        : null;

    private static string? Text(JsonObject? data, string key)
    {
        try
        {
            return data?[key]?.GetValue<string>() is { Length: > 0 } encoded ? Encoding.ASCII.GetString(Convert.FromBase64String(encoded)) : null;
        }
        catch (Exception exception) when (exception is FormatException or InvalidOperationException)
        {
            return null;
        }
    }
}
