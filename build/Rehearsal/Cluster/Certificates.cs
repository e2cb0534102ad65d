using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Rehearsal.Cluster;

/// <summary>The server's own certificate authority and the certificate it signed, kept as PEM files in a directory.</summary>
internal static class Certificates
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private static readonly TimeSpan Lifetime = TimeSpan.FromDays(3650);

    /// <summary>The server's certificate with its key; made when absent, or when it is not for this host.</summary>
    /// <returns>The certificate and the authority's PEM text.</returns>
    public static (X509Certificate2 Server, string Authority) LoadOrCreate(string directory, string host, TimeProvider time)
    {
        var authorityPath = Path.Combine(directory, "ca.crt");
        var certificatePath = Path.Combine(directory, "server.crt");
        var keyPath = Path.Combine(directory, "server.key");
        if (!File.Exists(authorityPath) || !File.Exists(certificatePath) || !File.Exists(keyPath) || !IsFor(certificatePath, host))
        {
            Create(directory, authorityPath, certificatePath, keyPath, host, time.GetUtcNow());
        }

        using var pem = X509Certificate2.CreateFromPemFile(certificatePath, keyPath);

        // SslStream on Windows wants a key that is not ephemeral; the round trip gives one everywhere.
        return (X509CertificateLoader.LoadPkcs12(pem.Export(X509ContentType.Pkcs12), null), File.ReadAllText(authorityPath));
    }

    /// <summary>Writes a file that only its owner may read, in place at once.</summary>
    public static void WriteSecret(string path, string text)
    {
        var fresh = path + ".new";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }

        using (var writer = new StreamWriter(fresh, options))
        {
            writer.Write(text);
        }

        File.Move(fresh, path, overwrite: true);
    }

    private static bool IsFor(string path, string host)
    {
        using var certificate = X509CertificateLoader.LoadCertificateFromFile(path);
        return certificate.MatchesHostname(host);
    }

    private static void Create(
        string directory,
        string authorityPath,
        string certificatePath,
        string keyPath,
        string host,
        DateTimeOffset now)
    {
        Directory.CreateDirectory(directory);
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authorityRequest = new CertificateRequest("CN=rehearsal-ca", authorityKey, HashAlgorithmName.SHA256);
        authorityRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        authorityRequest.CertificateExtensions.Add(
            new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        authorityRequest.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(authorityRequest.PublicKey, false));
        var notBefore = now.AddDays(-1);
        using var authority = authorityRequest.CreateSelfSigned(notBefore, notBefore + Lifetime);

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=rehearsal-apiserver", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddDnsName("kubernetes.default.svc");
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        if (IPAddress.TryParse(host, out var address))
        {
            names.AddIpAddress(address);
        }
        else
        {
            names.AddDnsName(host);
        }

        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(authority, true, false));
        using var certificate = request.Create(
            authority,
            notBefore,
            notBefore + Lifetime - TimeSpan.FromDays(1),
            RandomNumberGenerator.GetBytes(16));
        WriteSecret(Path.Combine(directory, "ca.key"), authorityKey.ExportPkcs8PrivateKeyPem() + "\n");
        WriteSecret(keyPath, key.ExportPkcs8PrivateKeyPem() + "\n");
        File.WriteAllText(certificatePath, certificate.ExportCertificatePem() + "\n");
        File.WriteAllText(authorityPath, authority.ExportCertificatePem() + "\n");
    }
}
