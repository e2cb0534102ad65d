using System.Globalization;
using System.Text.Json.Nodes;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Rollout.Cluster;

/// <summary>A key of a secret that a rendered workload refers to.</summary>
/// <param name="Secret">The Secret's name.</param>
/// <param name="Key">The key; null where the whole Secret is mounted or read. Of a TLS secret it is the certificate's.</param>
/// <param name="IsOptional">Whether a pod starts without it.</param>
public sealed record SecretReference(string Secret, string? Key, bool IsOptional);

/// <summary>
/// What the chart renders to: the list of workloads, hosts, images and secrets is read from here and never from a table, since values
/// switch services on and off (platform contract, section 8.2).
/// </summary>
public sealed class RenderedChart
{
    // What helm writes above each document.
    private const string SourceMark = "# Source: ";

    private static readonly string[] SecretAnnotations = ["nginx.ingress.kubernetes.io/auth-secret", "nginx.ingress.kubernetes.io/auth-tls-secret", "nginx.ingress.kubernetes.io/proxy-ssl-secret"];

    private readonly IReadOnlyList<(string Where, JsonNode? Content)> _documents;

    private RenderedChart(IReadOnlyList<(string Where, JsonNode? Content)> documents)
    {
        _documents = documents;
        Objects = [.. documents.SelectMany(d => ObjectsIn(d.Content)).Where(o => Given(o["kind"]) is not null)];
    }

    /// <summary>Every object, those of a <c>List</c> each on its own, as helm applies them.</summary>
    public IReadOnlyList<JsonObject> Objects { get; }

    public IEnumerable<JsonObject> Deployments => OfKind("Deployment");

    public IEnumerable<JsonObject> Ingresses => OfKind("Ingress");

    /// <summary>Every host of every Ingress, sorted.</summary>
    public IReadOnlyList<string> Hosts =>
        [.. Ingresses.SelectMany(HostsOf).Distinct(StringComparer.OrdinalIgnoreCase).Order(StringComparer.Ordinal)];

    /// <summary>
    /// Replicas that each Deployment begins with, by name: its own, or the least that its autoscaler keeps, where that is more or the chart leaves the
    /// number to the autoscaler.
    /// </summary>
    public IReadOnlyDictionary<string, int> Sizes
    {
        get
        {
            var least = LeastReplicas().ToLookup(l => l.Deployment, l => l.Replicas);
            return Deployments.ToDictionary(NameOf, d => least[NameOf(d)].Append(d["spec"]?["replicas"]?.GetValue<int>() ?? 1).Max());
        }
    }

    /// <summary>Every container image of every pod template, sorted.</summary>
    public IReadOnlyList<string> Images => [.. PodSpecs()
        .SelectMany(s => Items(s["containers"]).Concat(Items(s["initContainers"])))
        .Select(c => c["image"]!.GetValue<string>()).Distinct().Order(StringComparer.Ordinal)];

    /// <summary>Every secret that a workload or an Ingress refers to.</summary>
    public IReadOnlyList<SecretReference> Secrets
    {
        get
        {
            var found = new HashSet<SecretReference>();
            foreach (var spec in PodSpecs())
            {
                foreach (var container in Items(spec["containers"]).Concat(Items(spec["initContainers"])))
                {
                    foreach (var reference in Items(container["env"]).Select(e => e["valueFrom"]?["secretKeyRef"]).OfType<JsonObject>())
                    {
                        found.Add(new SecretReference(Text(reference, "name")!, Text(reference, "key"), IsOptional(reference)));
                    }

                    foreach (var reference in Items(container["envFrom"]).Select(e => e["secretRef"]).OfType<JsonObject>())
                    {
                        found.Add(new SecretReference(Text(reference, "name")!, null, IsOptional(reference)));
                    }
                }

                foreach (var volume in Items(spec["volumes"]))
                {
                    if (volume["secret"] is JsonObject secret)
                    {
                        found.UnionWith(Mounted(secret, "secretName"));
                    }

                    found.UnionWith(Items(volume["projected"]?["sources"]).Select(s => s["secret"]).OfType<JsonObject>().SelectMany(s => Mounted(s, "name")));
                }
            }

            // A pod starts without its pull secret and cannot get its image.
            foreach (var pull in PodSpecs().Concat(OfKind("ServiceAccount")).SelectMany(o => Items(o["imagePullSecrets"])))
            {
                found.Add(new SecretReference(Text(pull, "name")!, ".dockerconfigjson", false));
            }

            foreach (var tls in Ingresses.SelectMany(i => Items(i["spec"]?["tls"])))
            {
                if (Text(tls, "secretName") is { } name)
                {
                    found.Add(new SecretReference(name, "tls.crt", false));
                }
            }

            foreach (var annotations in Ingresses.Select(i => i["metadata"]?["annotations"]).OfType<JsonObject>())
            {
                // NAMESPACE/NAME is another namespace's business.
                foreach (var name in SecretAnnotations.Select(a => Given(annotations[a])).OfType<string>().Where(n => !n.Contains('/', StringComparison.Ordinal)))
                {
                    found.Add(new SecretReference(name, null, false));
                }
            }

            return [.. found.OrderBy(s => s.Secret, StringComparer.Ordinal).ThenBy(s => s.Key, StringComparer.Ordinal)];
        }
    }

    /// <summary>
    /// The TLS secret that an Ingress names for a host; null where none does. An entry without hosts is for all hosts of its Ingress.
    /// </summary>
    public string? TlsSecretOf(string host) => IngressesOf(host)
        .SelectMany(i => Items(i["spec"]?["tls"]))
        .Where(t => t["hosts"] is not JsonArray { Count: > 0 } hosts || hosts.Any(h => IsFor(h?.GetValue<string>(), host)))
        .Select(t => Text(t, "secretName")).FirstOrDefault(name => !string.IsNullOrEmpty(name));

    /// <summary>The Ingresses that serve a host.</summary>
    public IEnumerable<JsonObject> IngressesOf(string host) => Ingresses.Where(i => HostsOf(i).Contains(host, StringComparer.OrdinalIgnoreCase));

    /// <summary>The class that an Ingress asks for; null where it leaves that to the cluster's default.</summary>
    public static string? ClassOf(JsonObject ingress) => ingress["spec"]?["ingressClassName"]?.GetValue<string>()
        ?? ingress["metadata"]?["annotations"]?["kubernetes.io/ingress.class"]?.GetValue<string>();

    /// <summary>
    /// Which value sets the size of which Deployment, told by numbers that occur nowhere else: this is the chart rendered with
    /// <paramref name="marks"/> as replicas. A Deployment whose size no value sets is not among them.
    /// </summary>
    /// <param name="marks">A number of its own for each path of <see cref="ChartValues.ReplicaPaths"/>.</param>
    public IReadOnlyDictionary<string, string> SizedBy(IReadOnlyDictionary<string, int> marks)
    {
        var paths = marks.ToDictionary(m => m.Value, m => m.Key);
        return Deployments.Select(d => (Deployment: NameOf(d), Replicas: d["spec"]?["replicas"]?.GetValue<int>() ?? 1)).Concat(LeastReplicas())
            .Where(d => paths.ContainsKey(d.Replicas))
            .GroupBy(d => d.Deployment).ToDictionary(g => g.Key, g => paths[g.First().Replicas]);
    }

    /// <summary>The hosts of one Ingress.</summary>
    public static IEnumerable<string> HostsOf(JsonObject ingress) =>
        Items(ingress["spec"]?["rules"]).Select(r => Text(r, "host")).OfType<string>();

    /// <summary>
    /// The rendered Deployments that a cluster has not, or has with other replicas, images or plain variables: what <c>kubectl scale</c> and the
    /// like changed after helm.
    /// </summary>
    public IReadOnlyList<string> StrayedIn(IEnumerable<JsonObject> deployments)
    {
        var there = deployments.ToDictionary(NameOf);
        return [.. Deployments.Where(d => !there.TryGetValue(NameOf(d), out var found) || !Agree(d, found)).Select(NameOf)];

        static bool Agree(JsonObject rendered, JsonObject found) =>
            (rendered["spec"]?["replicas"] is not { } replicas || JsonNode.DeepEquals(replicas, found["spec"]?["replicas"]))
            && Containers(rendered).SequenceEqual(Containers(found));

        static IEnumerable<string> Containers(JsonObject deployment) => Items(deployment["spec"]?["template"]?["spec"]?["containers"]).SelectMany(c => Items(c["env"])
            .Where(e => e["valueFrom"] is null).Select(e => $"{e["name"]}={e["value"]}").Prepend($"{c["name"]}: {c["image"]}"));
    }

    /// <summary>
    /// What a cluster would refuse, or take for the same object, in sentences that name the template: documents that are no objects, objects without
    /// <c>apiVersion</c>, kind or name, and two of one kind and name. Hooks may share a name with one another: each is deleted before the next.
    /// </summary>
    /// <param name="namespace">Where objects go that name no namespace.</param>
    public IReadOnlyList<string> ProblemsIn(string @namespace)
    {
        var problems = new List<string>();
        var seen = new Dictionary<(string, string, string, string), (string Where, bool IsHook)>();
        foreach (var (where, content) in _documents)
        {
            if (content is not null and not JsonObject)
            {
                problems.Add($"{where} is {(content is JsonArray ? "a list" : "a text")}, no Kubernetes object");
            }

            foreach (var item in ObjectsIn(content))
            {
                var (version, kind, name) = (Given(item["apiVersion"]), Given(item["kind"]), NameOrNull(item));
                var missing = new[] { (version, "apiVersion"), (kind, "kind"), (name, "metadata.name") }.Where(p => p.Item1 is null).Select(p => p.Item2).ToList();
                if (missing.Count > 0)
                {
                    problems.Add($"{where} has no {string.Join(" and no ", missing)}{(kind is null && name is null ? string.Empty : $": {kind ?? "object"} {name}".TrimEnd())}");
                }
                else
                {
                    var key = (version!.Contains('/', StringComparison.Ordinal) ? version[..version.IndexOf('/', StringComparison.Ordinal)] : string.Empty, kind!, NamespaceOf(item) ?? @namespace, name!);
                    var isHook = (item["metadata"]!["annotations"] as JsonObject)?["helm.sh/hook"] is not null;
                    if (seen.TryGetValue(key, out var first) && !(isHook && first.IsHook))
                    {
                        problems.Add($"{kind} {key.Item3}/{name} is rendered twice, by {first.Where}{(first.Where == where ? string.Empty : $" and {where}")}");
                    }

                    seen[key] = (where, isHook);
                }
            }
        }

        return [.. problems.Distinct()];
    }

    /// <summary>The objects that would go into this namespace, as <c>KIND NAME</c>, because they name it themselves.</summary>
    public IReadOnlyList<string> NamedInto(string @namespace) => [.. Objects.Where(o => NamespaceOf(o) == @namespace).Select(o => $"{o["kind"]} {NameOrNull(o)}")];

    /// <summary>Reads what <c>helm template</c> printed.</summary>
    /// <exception cref="RolloutException">It is no YAML.</exception>
    public static RenderedChart Parse(string yaml)
    {
        try
        {
            var sources = yaml.Split('\n').Select((line, index) => (Line: index + 1, Text: line))
                .Where(l => l.Text.StartsWith(SourceMark, StringComparison.Ordinal)).ToList();
            var stream = new YamlStream();
            stream.Load(new StringReader(yaml));
            return new RenderedChart([.. stream.Documents.Select((d, index) => (Where(d.RootNode, index), ToJson(d.RootNode)))]);

            string Where(YamlNode root, int index) =>
                sources.LastOrDefault(s => s.Line <= root.Start.Line).Text?[SourceMark.Length..].Trim() ?? $"document {index + 1}";
        }
        catch (YamlException exception)
        {
            throw new RolloutException($"The chart renders to something that is no YAML: {exception.Message}", null, ExitCode.Failed, exception);
        }
    }

    /// <summary>YAML documents as JSON, plain scalars typed by YAML's core schema.</summary>
    public static IEnumerable<JsonNode?> YamlDocuments(string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        return [.. stream.Documents.Select(d => ToJson(d.RootNode))];
    }

    private static JsonNode? ToJson(YamlNode node) => node switch
    {
        YamlMappingNode map => new JsonObject(map.Children.Select(p => KeyValuePair.Create(((YamlScalarNode)p.Key).Value!, ToJson(p.Value)))),
        YamlSequenceNode list => new JsonArray([.. list.Children.Select(ToJson)]),
        YamlScalarNode { Style: ScalarStyle.Plain } scalar => Plain(scalar.Value ?? string.Empty),
        YamlScalarNode scalar => JsonValue.Create(scalar.Value),
        _ => null,
    };

    private static JsonValue? Plain(string text) => text switch
    {
        "" or "~" or "null" => null,
        "true" => JsonValue.Create(true),
        "false" => JsonValue.Create(false),
        _ when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole) => Number(whole),
        _ when text.Contains('.', StringComparison.Ordinal) && double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => Number(number),
        _ => JsonValue.Create(text),
    };

    // As a parsed number, which reads as any numeric type; a number made from a long reads as a long only.
    private static JsonValue Number<T>(T number) => JsonValue.Create(System.Text.Json.JsonSerializer.SerializeToElement(number))!;

    private static IEnumerable<SecretReference> Mounted(JsonObject secret, string name) => Items(secret["items"]).Select(i => Text(i, "key")).DefaultIfEmpty(null)
        .Select(key => new SecretReference(Text(secret, name)!, key, IsOptional(secret)));

    private static IEnumerable<JsonObject> Items(JsonNode? node) => node is JsonArray array ? array.OfType<JsonObject>() : [];

    private static IEnumerable<JsonObject> ObjectsIn(JsonNode? content) => content is not JsonObject item ? []
        : Given(item["kind"])?.EndsWith("List", StringComparison.Ordinal) == true && item["items"] is JsonArray ? Items(item["items"]) : [item];

    private static string? Given(JsonNode? node) => node is JsonValue value && value.TryGetValue<string>(out var text) && text.Length > 0 ? text : null;

    // A number as a name is as good as none: the API server takes texts only.
    private static string? NameOrNull(JsonObject item) => Given((item["metadata"] as JsonObject)?["name"]) ?? Given((item["metadata"] as JsonObject)?["generateName"]);

    private static string? NamespaceOf(JsonObject item) => Given((item["metadata"] as JsonObject)?["namespace"]);

    internal static string NameOf(JsonObject item) => item["metadata"]!["name"]!.GetValue<string>();

    private static string? Text(JsonObject from, string name) => from[name]?.GetValue<string>();

    private static bool IsOptional(JsonObject reference) => reference["optional"] is JsonValue value && value.GetValue<bool>();

    private static bool IsFor(string? name, string host) => string.Equals(name, host, StringComparison.OrdinalIgnoreCase)
        || (name?.StartsWith("*.", StringComparison.Ordinal) == true && host.Contains('.', StringComparison.Ordinal)
            && string.Equals(name[1..], host[host.IndexOf('.', StringComparison.Ordinal)..], StringComparison.OrdinalIgnoreCase));

    private IEnumerable<(string Deployment, int Replicas)> LeastReplicas() => OfKind("HorizontalPodAutoscaler")
        .Where(h => h["spec"]?["scaleTargetRef"]?["kind"]?.GetValue<string>() == "Deployment")
        .Select(h => (h["spec"]!["scaleTargetRef"]!["name"]!.GetValue<string>(), h["spec"]!["minReplicas"]?.GetValue<int>() ?? 1));

    private IEnumerable<JsonObject> OfKind(string kind) => Objects.Where(o => o["kind"]?.GetValue<string>() == kind);

    private IEnumerable<JsonObject> PodSpecs() => Objects
        .Select(o => o["spec"]?["template"]?["spec"] ?? o["spec"]?["jobTemplate"]?["spec"]?["template"]?["spec"]
            ?? (o["kind"]!.GetValue<string>() == "Pod" ? o["spec"] : null)).OfType<JsonObject>();
}
