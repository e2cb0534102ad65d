using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Rollout.Traffic;

/// <summary>What one HTTPS request to one host at one address came to.</summary>
/// <param name="Host">The production name, as it stood in SNI and in the Host header.</param>
/// <param name="Address">Where it was sent.</param>
/// <param name="Status">The HTTP status; null when there was no answer.</param>
/// <param name="Headers">Names in any case; a header sent more than once has its values joined by a comma.</param>
/// <param name="Error">Why there is no answer, in words; null when there is one.</param>
public sealed record HostProbeResult(
    string Host,
    string Address,
    int? Status,
    IReadOnlyDictionary<string, string> Headers,
    string? Error)
{
    /// <summary>What was asked for.</summary>
    public string Path { get; init; } = "/";

    /// <summary>The certificate presented, trusted or not; null when none was.</summary>
    public HostCertificate? Certificate { get; init; }

    /// <summary>Of the certificate presented; null when none was.</summary>
    public string? CertificateSubject => Certificate?.Subject;

    /// <summary>When the certificate presented ends; null when none was.</summary>
    public DateTimeOffset? CertificateExpires => Certificate?.Until;
}

/// <summary>
/// Asks a slot's ingress for a production host before DNS names it: the connection goes to a given address while SNI, Host header and
/// certificate check stay those of the host (<c>curl --resolve</c> in a runbook). Certificates are always checked.
/// </summary>
/// <param name="httpsPort">The ingress's HTTPS port; 443 in production.</param>
/// <param name="certificateAuthorityPath">PEM file with the only authorities to trust; null means those of the machine.</param>
/// <param name="time">The clock that certificates are judged by.</param>
public sealed class HostProbe(int httpsPort, string? certificateAuthorityPath, TimeProvider time)
{
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(15);

    private readonly Lazy<X509Certificate2Collection?> _authorities = new(() => AuthoritiesOf(certificateAuthorityPath));

    /// <summary>One GET over a fresh connection; redirects are not followed. What goes wrong is in the result, not thrown.</summary>
    /// <exception cref="RolloutException">The file with the authorities cannot be read.</exception>
    public async Task<HostProbeResult> ProbeAsync(string host, string path, string address, CancellationToken cancellationToken)
    {
        var seen = new Presented();
        using var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            UseCookies = false,
            AllowAutoRedirect = false,
            SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = Policy(),
                RemoteCertificateValidationCallback = (_, certificate, chain, errors) => seen.Judge(host, certificate, chain, errors),
            },
            ConnectCallback = async (_, token) => await ConnectAsync(address, token),
        };
        using var http = new HttpClient(handler) { Timeout = AnswerTime };
        using var request =
            new HttpRequestMessage(HttpMethod.Get, new Uri($"https://{host}:{httpsPort}{(path.StartsWith('/') ? path : "/" + path)}"));
        request.Headers.Host = host;
        request.Headers.UserAgent.ParseAdd("aether-rollout");

        // By this a trace, or an ingress's log, tells our looks from clients (platform contract, section 2.2).
        request.Headers.Add("x-request-id", "rollout-probe");
        try
        {
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            return new HostProbeResult(host, address, (int)response.StatusCode, HeadersOf(response), null)
            {
                Path = path,
                Certificate = seen.Certificate,
            };
        }
        catch (HttpRequestException exception)
        {
            return Failed(seen.Problem ?? Words(exception, address));
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return Failed($"{address}:{httpsPort} gave no answer within {AnswerTime.TotalSeconds:0} s");
        }

        HostProbeResult Failed(string error) =>
            new(host, address, null, new Dictionary<string, string>(), error) { Path = path, Certificate = seen.Certificate };
    }

    private async Task<Stream> ConnectAsync(string address, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(address, httpsPort, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private X509ChainPolicy Policy()
    {
        var policy = new X509ChainPolicy
        {
            // As HttpClient does by default; revocation lists are a network of their own.
            RevocationMode = X509RevocationMode.NoCheck,

            // An ingress that does not send its intermediate certificate fails here, as it does for clients that fetch nothing.
            DisableCertificateDownloads = true,
            VerificationTime = time.GetUtcNow().LocalDateTime,
        };
        if (_authorities.Value is { } authorities)
        {
            policy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            policy.CustomTrustStore.AddRange(authorities);
        }

        return policy;
    }

    /// <summary>The authorities of a PEM file; null where there is no file and those of the machine count.</summary>
    /// <exception cref="RolloutException">The file cannot be read.</exception>
    internal static X509Certificate2Collection? AuthoritiesOf(string? path)
    {
        if (path is null)
        {
            return null;
        }

        try
        {
            var authorities = new X509Certificate2Collection();
            authorities.ImportFromPemFile(path);
            return authorities.Count > 0
                ? authorities
                : throw new RolloutException($"'{path}' holds no certificate in PEM form.", exitCode: ExitCode.BadSettings);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new RolloutException(
                $"The certificate authority '{path}' cannot be read: {exception.Message}", null, ExitCode.BadSettings, exception);
        }
    }

    private static Dictionary<string, string> HeadersOf(HttpResponseMessage response) =>
        response.Headers.NonValidated
            .Concat(response.Content.Headers.NonValidated)
            .GroupBy(header => header.Key, StringComparer.OrdinalIgnoreCase)
            .ToDictionary(
                group => group.Key,
                group => string.Join(", ", group.SelectMany(header => header.Value)),
                StringComparer.OrdinalIgnoreCase);

    private string Words(HttpRequestException exception, string address)
    {
        Exception innermost = exception;
        while (innermost.InnerException is { } inner)
        {
            innermost = inner;
        }

        return innermost switch
        {
            SocketException socket => $"{address}:{httpsPort} cannot be reached: {socket.Message}",
            _ when exception.InnerException is AuthenticationException =>
                $"the TLS handshake with {address}:{httpsPort} failed: {innermost.Message}",
            _ => $"{address}:{httpsPort} gave no HTTP answer: {innermost.Message}",
        };
    }

    /// <summary>The certificate a server presented, and what is wrong with it.</summary>
    private sealed class Presented
    {
        public HostCertificate? Certificate { get; private set; }

        public string? Problem { get; private set; }

        public bool Judge(string host, X509Certificate? presented, X509Chain? chain, SslPolicyErrors errors)
        {
            if (presented is X509Certificate2 certificate)
            {
                Certificate = HostCertificate.Of(certificate);
                var problems = new List<string>();
                if (errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch))
                {
                    problems.Add($"is for {(Certificate.Names.Count > 0 ? string.Join(", ", Certificate.Names) : "no host")}, not for {host}");
                }

                if (errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors))
                {
                    problems.AddRange(ChainProblems(certificate, chain));
                }

                Problem = problems.Count > 0 ? $"the certificate ({Certificate.Subject}) {string.Join(" and ", problems)}" : null;
            }
            else
            {
                Problem = "the server presented no certificate";
            }

            return errors == SslPolicyErrors.None;
        }

        private static IEnumerable<string> ChainProblems(X509Certificate2 certificate, X509Chain? chain)
        {
            var statuses = chain?.ChainStatus ?? [];
            var flags = statuses.Aggregate(X509ChainStatusFlags.NoError, (all, status) => all | status.Status);
            if (flags.HasFlag(X509ChainStatusFlags.NotTimeValid))
            {
                var now = chain!.ChainPolicy.VerificationTime;
                var outdated = chain.ChainElements
                    .Select(element => element.Certificate)
                    .FirstOrDefault(link => link.NotAfter < now || link.NotBefore > now);
                var whose = outdated is null || outdated.Equals(certificate) ? string.Empty : $"rests on {outdated.Subject}, which ";
                yield return outdated is not null && outdated.NotBefore > now
                    ? $"{whose}is not valid before {outdated.NotBefore.ToUniversalTime():u}"
                    : $"{whose}expired at {(outdated ?? certificate).NotAfter.ToUniversalTime():u}";
            }

            if ((flags & (X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain)) != 0)
            {
                yield return $"is not signed by an authority that is trusted here (issuer: {certificate.Issuer})";
            }

            const X509ChainStatusFlags told =
                X509ChainStatusFlags.NotTimeValid | X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain;
            foreach (var other in statuses.Where(status => (status.Status & ~told) != 0))
            {
                yield return $"is refused: {other.StatusInformation.Trim()}";
            }
        }
    }
}
