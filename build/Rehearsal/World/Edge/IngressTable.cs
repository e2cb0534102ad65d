using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Rehearsal.World;

/// <summary>One rule of an Ingress: where requests for this host and path go, and what the answers carry.</summary>
internal sealed record IngressRoute(
    string Host,
    string Path,
    bool IsExact,
    bool IsPrefix,
    IReadOnlyList<string> Endpoints,
    IReadOnlyList<(string Name, string Value)> Headers,
    bool RedirectsToHttps)
{
    private int _next;

    public bool Matches(string path)
    {
        if (IsExact)
        {
            return path == Path;
        }

        if (!IsPrefix)
        {
            // ImplementationSpecific is a plain nginx location: a prefix of characters.
            return path.StartsWith(Path, StringComparison.Ordinal);
        }

        var prefix = Path.TrimEnd('/');
        return path.StartsWith(prefix, StringComparison.Ordinal) && (path.Length == prefix.Length || path[prefix.Length] == '/');
    }

    /// <summary>The endpoint whose turn it is, passing over those that have failed while there are others; null where there is none at all.</summary>
    public string? NextEndpoint(IReadOnlyCollection<string> failed)
    {
        if (Endpoints.Count == 0)
        {
            return null;
        }

        var turn = (uint)Interlocked.Increment(ref _next);
        for (var i = 0u; i < Endpoints.Count; i++)
        {
            var endpoint = Endpoints[(int)((turn + i) % (uint)Endpoints.Count)];
            if (!failed.Contains(endpoint))
            {
                return endpoint;
            }
        }

        return Endpoints[(int)(turn % (uint)Endpoints.Count)];
    }
}

/// <summary>
/// What one ingress class routes at one moment, made from the cluster's objects: immutable, so that a request sees either the old
/// or the new state and never half of each.
/// </summary>
internal sealed partial class IngressTable
{
    private readonly Dictionary<string, List<IngressRoute>> _routes = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, SslCertificate> _certificates = new(StringComparer.OrdinalIgnoreCase);

    public static IngressTable Empty { get; } = new();

    /// <summary>Ingresses of this class that this table serves, by namespace and name.</summary>
    public IReadOnlyList<JsonObject> Ingresses { get; private init; } = [];

    public static IngressTable Build(
        string ingressClass,
        IEnumerable<JsonObject> ingresses,
        ClusterWatch services,
        ClusterWatch endpoints,
        ClusterWatch secrets,
        SslCertificates certificates)
    {
        // Where two Ingresses claim a host and path the older one has it, as in ingress-nginx.
        var mine = ingresses
            .Where(ingress => ClassOf(ingress) == ingressClass)
            .OrderBy(ingress => (string?)ingress["metadata"]!["creationTimestamp"], StringComparer.Ordinal)
            .ThenBy(ingress => (string?)ingress["metadata"]!["uid"], StringComparer.Ordinal)
            .ToList();
        var table = new IngressTable { Ingresses = mine };
        foreach (var ingress in mine)
        {
            table.Add(ingress, services, endpoints, secrets, certificates);
        }

        foreach (var routes in table._routes.Values)
        {
            routes.Sort((a, b) => a.IsExact != b.IsExact ? (a.IsExact ? -1 : 1) : b.Path.Length - a.Path.Length);
        }

        return table;
    }

    public IngressRoute? Find(string host, string path)
    {
        return Look(_routes, host)?.Find(route => route.Matches(path));
    }

    public SslCertificate? Certificate(string host)
    {
        return Look(_certificates, host);
    }

    private static T? Look<T>(Dictionary<string, T> byHost, string host)
        where T : class
    {
        if (byHost.TryGetValue(host, out var exact))
        {
            return exact;
        }

        var dot = host.IndexOf('.', StringComparison.Ordinal);
        return dot > 0 && byHost.TryGetValue("*" + host[dot..], out var wild) ? wild : byHost.GetValueOrDefault("");
    }

    private static string? ClassOf(JsonObject ingress)
    {
        return (string?)ingress["spec"]?["ingressClassName"]
            ?? (string?)ingress["metadata"]!["annotations"]?["kubernetes.io/ingress.class"];
    }

    private void Add(JsonObject ingress, ClusterWatch services, ClusterWatch endpoints, ClusterWatch secrets, SslCertificates certificates)
    {
        var @namespace = (string)ingress["metadata"]!["namespace"]!;
        var annotations = ingress["metadata"]!["annotations"];
        var secured = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var tls in ingress["spec"]?["tls"]?.AsArray() ?? [])
        {
            var secret = (string?)tls!["secretName"] is { } name ? secrets.Get(@namespace, name) : null;
            var certificate = secret is null ? null : certificates.Of(secret);
            foreach (var host in tls["hosts"]?.AsArray() ?? [])
            {
                secured.Add((string)host!);

                // A certificate for other names is not used: the controller logs it and shows its own.
                if (certificate?.Covers((string)host!) == true)
                {
                    _certificates.TryAdd((string)host!, certificate);
                }
            }
        }

        var headers = HeadersOf((string?)annotations?["nginx.ingress.kubernetes.io/configuration-snippet"]);
        var isForced = IsTrue(annotations, "nginx.ingress.kubernetes.io/force-ssl-redirect") == true;
        var isAllowed = IsTrue(annotations, "nginx.ingress.kubernetes.io/ssl-redirect") != false;
        foreach (var rule in ingress["spec"]?["rules"]?.AsArray() ?? [])
        {
            var host = (string?)rule!["host"] ?? "";
            foreach (var path in rule["http"]?["paths"]?.AsArray() ?? [])
            {
                var type = (string?)path!["pathType"];
                var route = new IngressRoute(
                    host,
                    (string?)path["path"] ?? "/",
                    type == "Exact",
                    type == "Prefix",
                    Resolve(@namespace, path["backend"]?["service"], services, endpoints),
                    headers,
                    isForced || (secured.Contains(host) && isAllowed));
                var routes = _routes.TryGetValue(host, out var known) ? known : _routes[host] = [];
                if (!routes.Exists(other => other.Path == route.Path && other.IsExact == route.IsExact))
                {
                    routes.Add(route);
                }
            }
        }
    }

    private static bool? IsTrue(JsonNode? annotations, string name)
    {
        return (string?)annotations?[name] is { } text ? text == "true" : null;
    }

    private static List<(string Name, string Value)> HeadersOf(string? snippet)
    {
        return snippet is null
            ? []
            : [.. MoreSetHeaders().Matches(snippet).Select(match => (match.Groups["name"].Value, match.Groups["value"].Value.Trim()))];
    }

    // Ready addresses only, by the name the Service gives to the backend's port.
    private static List<string> Resolve(string @namespace, JsonNode? backend, ClusterWatch services, ClusterWatch endpoints)
    {
        if ((string?)backend?["name"] is not { } name
            || services.Get(@namespace, name) is not { } service
            || endpoints.Get(@namespace, name) is not { } ends)
        {
            return [];
        }

        var ports = service["spec"]?["ports"]?.AsArray() ?? [];
        var wanted = backend["port"];
        var port = ports.FirstOrDefault(candidate =>
            (string?)wanted?["name"] is { } byName
                ? (string?)candidate!["name"] == byName
                : (int?)candidate!["port"] == (int?)wanted?["number"]);
        if (port is null)
        {
            return [];
        }

        var portName = (string?)port["name"];
        return
        [
            .. from subset in ends["subsets"]?.AsArray() ?? []
               from target in (subset!["ports"]?.AsArray() ?? []).Where(candidate => (string?)candidate!["name"] == portName)
               from address in subset["addresses"]?.AsArray() ?? []
               select $"http://{(string)address!["ip"]!}:{(int)target!["port"]!}/",
        ];
    }

    [GeneratedRegex("""more_set_headers\s+(?<quote>["'])(?<name>[A-Za-z0-9-]+)\s*:\s*(?<value>.*?)\k<quote>\s*;""")]
    private static partial Regex MoreSetHeaders();
}

/// <summary>A server certificate with its chain, ready for a handshake.</summary>
internal sealed class SslCertificate(X509Certificate2 leaf, X509Certificate2Collection chain)
{
    public System.Net.Security.SslStreamCertificateContext Context { get; } =
        System.Net.Security.SslStreamCertificateContext.Create(leaf, chain, offline: true);

    public bool Covers(string host)
    {
        return leaf.MatchesHostname(host, allowWildcards: true, allowCommonName: false);
    }
}

/// <summary>The certificates of TLS secrets, each read once per content.</summary>
internal sealed class SslCertificates
{
    private readonly Dictionary<string, SslCertificate?> _byContent = new(StringComparer.Ordinal);

    /// <summary>Null when the secret holds no usable key pair.</summary>
    public SslCertificate? Of(JsonObject secret)
    {
        var data = secret["data"];
        if ((string?)data?["tls.crt"] is not { } certificate || (string?)data["tls.key"] is not { } key)
        {
            return null;
        }

        var content = Convert.ToHexString(SHA256.HashData(Encoding.ASCII.GetBytes(certificate + key)));
        if (!_byContent.TryGetValue(content, out var known))
        {
            _byContent[content] = known = Read(certificate, key);
        }

        return known;
    }

    private static SslCertificate? Read(string certificate, string key)
    {
        try
        {
            var pem = Encoding.ASCII.GetString(Convert.FromBase64String(certificate));
            var all = new X509Certificate2Collection();
            all.ImportFromPem(pem);
            var leaf = X509Certificate2.CreateFromPem(pem, Encoding.ASCII.GetString(Convert.FromBase64String(key)));
            all.RemoveAt(0);
            return new SslCertificate(leaf, all);
        }
        catch (Exception unusable) when (unusable is FormatException or CryptographicException or ArgumentException)
        {
            return null;
        }
    }
}
