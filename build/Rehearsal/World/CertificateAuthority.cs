using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Rehearsal.World;

/// <summary>A key pair as the two PEM texts a Kubernetes TLS secret holds; the certificate is followed by its issuer's.</summary>
public sealed record IssuedCertificate(string CertificatePem, string KeyPem);

/// <summary>The world's own certificate authority: made once, kept as <c>ca.crt</c> and <c>ca.key</c> in the world's directory.</summary>
public sealed class CertificateAuthority : IDisposable
{
    private readonly X509Certificate2 _authority;
    private readonly TimeProvider _time;

    private CertificateAuthority(X509Certificate2 authority, string certificateFile, TimeProvider time)
    {
        _authority = authority;
        CertificateFile = certificateFile;
        CertificatePem = authority.ExportCertificatePem();
        _time = time;
    }

    /// <summary>Path of the authority's certificate, for clients that are to trust the world.</summary>
    public string CertificateFile { get; }

    public string CertificatePem { get; }

    /// <summary>Opens the authority kept in the directory, or makes one.</summary>
    public static CertificateAuthority Open(string directory, TimeProvider time)
    {
        var certificateFile = Path.Combine(directory, "ca.crt");
        var keyFile = Path.Combine(directory, "ca.key");
        if (!File.Exists(certificateFile) || !File.Exists(keyFile))
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest("CN=Aether Rehearsal CA", key, HashAlgorithmName.SHA256);
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
            request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
            var now = time.GetUtcNow();
            using var made = request.CreateSelfSigned(now.AddDays(-1), now.AddYears(5));
            StateFile.WriteText(keyFile, key.ExportPkcs8PrivateKeyPem());
            File.WriteAllText(certificateFile, made.ExportCertificatePem() + "\n");
        }

        return new CertificateAuthority(X509Certificate2.CreateFromPemFile(certificateFile, keyFile), certificateFile, time);
    }

    /// <summary>A server certificate for these DNS names and addresses, valid for 90 days as the platform's issuer makes them.</summary>
    public IssuedCertificate Issue(params IReadOnlyList<string> names)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = Request(key, names);
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_authority, true, false));
        var now = _time.GetUtcNow();
        using var certificate = request.Create(_authority, now.AddHours(-1), now.AddDays(90), RandomNumberGenerator.GetBytes(16));
        return new IssuedCertificate($"{certificate.ExportCertificatePem()}\n{CertificatePem}\n", key.ExportPkcs8PrivateKeyPem() + "\n");
    }

    /// <summary>What an ingress controller shows when it has no certificate for a name: signed by nobody.</summary>
    internal static X509Certificate2 Fake(DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(Names(["ingress.local"]));
        return request.CreateSelfSigned(now.AddHours(-1), now.AddDays(365));
    }

    public void Dispose()
    {
        _authority.Dispose();
    }

    private static CertificateRequest Request(ECDsa key, IReadOnlyList<string> names)
    {
        var request = new CertificateRequest($"CN={names[0]}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], false));
        request.CertificateExtensions.Add(Names(names));
        return request;
    }

    private static X509Extension Names(IReadOnlyList<string> names)
    {
        var builder = new SubjectAlternativeNameBuilder();
        foreach (var name in names)
        {
            if (IPAddress.TryParse(name, out var address))
            {
                builder.AddIpAddress(address);
            }
            else
            {
                builder.AddDnsName(name);
            }
        }

        return builder.Build();
    }
}
