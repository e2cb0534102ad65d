using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;
using Rehearsal.World;

namespace Rehearsal;

/// <summary>Addresses that the platform's secrets hold.</summary>
/// <param name="Dsn">A database's name to its DSN.</param>
/// <param name="Redis">A logical database's number to its URL.</param>
public sealed record PlatformStores(Func<string, string> Dsn, Func<int, string> Redis);

/// <summary>
/// The stack that is live when a world is created: its namespace and secrets (which the rollout copies to the candidate's), the slots'
/// ingress controllers' Services, and the release that helm installs.
/// </summary>
public sealed class LiveSlot(ObjectStore store, WorldIdentity identity, TimeProvider time)
{
    public const string Namespace = "aether-blue";
    private const string Release = "aether";
    private static readonly string[] Accounts = ["company", "director-1", "director-2"];

    /// <summary>API keys of the exchange, by account.</summary>
    public static IReadOnlyDictionary<string, string> AccountsByKey(WorldIdentity identity)
    {
        return Accounts.ToDictionary(account => identity.Token("kraken-key-" + account), account => account);
    }

    /// <summary>Each slot's ingress class, as the installation of its controller brings it.</summary>
    public void EnsureIngressClasses()
    {
        foreach (var slot in (string[])["blue", "green"])
        {
            Ensure("ingressclasses", null, "nginx-" + slot, new JsonObject
            {
                ["apiVersion"] = "networking.k8s.io/v1",
                ["kind"] = "IngressClass",
                ["spec"] = new JsonObject { ["controller"] = "k8s.io/ingress-nginx-" + slot },
            });
        }
    }

    /// <summary>Creates what the installation needs; what is there already stays.</summary>
    public void Seed(CertificateAuthority authority, PlatformStores stores)
    {
        foreach (var @namespace in (string[])[Namespace, "ingress-blue", "ingress-green"])
        {
            Ensure("namespaces", null, @namespace, new JsonObject { ["apiVersion"] = "v1", ["kind"] = "Namespace" });
        }

        foreach (var slot in (string[])["blue", "green"])
        {
            EnsureIngressService(slot);
            EnsureIngressController(slot);
        }

        var aether = stores.Dsn("aether");
        EnsureSecret("session-redis", ("blue", stores.Redis(0)), ("green", stores.Redis(1)));
        EnsureSecret("safe-mode-redis", ("blue", stores.Redis(0)), ("green", stores.Redis(1)));
        EnsureSecret("sim-mode-database", ("dsn-blue", stores.Dsn("sim_blue")), ("dsn-green", stores.Dsn("sim_green")));
        foreach (var purpose in (string[])["timescale", "audit", "override", "admin", "release-manifest"])
        {
            EnsureSecret(purpose + "-database", ("dsn", aether), ("sslmode", "disable"));
        }

        EnsureSecret(
            "platform-account-allowlists", ("admins", string.Join(',', Accounts)), ("directors", string.Join(',', Accounts.Skip(1))));
        foreach (var account in Accounts)
        {
            var keys = new JsonObject
            {
                ["api_key"] = identity.Token("kraken-key-" + account),
                ["api_secret"] = identity.Token("kraken-secret-" + account),
            };
            EnsureSecret("kraken-keys-" + account, ("credentials.json", keys.ToJsonString()));
        }

        // One certificate for a workload's production and staging name, as the chart's Ingresses ask for one secret.
        foreach (var workload in Workload.All.Where(workload => workload.Host is not null))
        {
            var issued = authority.Issue($"{workload.Host}.{Workload.Zone}", $"{workload.Host}.staging.{Workload.Zone}");
            EnsureSecret(workload.Name + "-tls", "kubernetes.io/tls", ("tls.crt", issued.CertificatePem), ("tls.key", issued.KeyPem));
        }
    }

    /// <summary><c>helm upgrade --install</c> with production hosts and exchange keys; the pods are not ready when it returns.</summary>
    /// <exception cref="RehearsalException">helm failed; the message holds what it said.</exception>
    public async Task InstallAsync(
        string helm,
        string kubeconfig,
        string home,
        (string Chart, IReadOnlyList<string> Values) platform,
        CancellationToken cancellationToken)
    {
        // A release that an interrupted creation left pending would make helm refuse; its objects are taken over by the new one.
        foreach (var left in store.List("", "secrets", Namespace).Where(secret => (string?)secret["type"] == "helm.sh/release.v1"))
        {
            store.Delete(new ObjectKey("", "secrets", Namespace, (string)left["metadata"]!["name"]!));
        }

        var start = new ProcessStartInfo(helm) { RedirectStandardOutput = true, RedirectStandardError = true };
        string[] arguments =
        [
            "upgrade", "--install", Release, platform.Chart, "--namespace", Namespace, "--kubeconfig", kubeconfig,
            .. platform.Values.SelectMany(file => new[] { "--values", file }),
            "--set", "global.krakenSecrets.enabled=true", "--history-max", "10", "--timeout", "60s",
            "--description", "live when the world was created",
        ];
        Array.ForEach(arguments, start.ArgumentList.Add);
        bool IsOfPerson(string key) => key.StartsWith("HELM_", StringComparison.Ordinal) || key == "KUBECONFIG";
        foreach (var name in start.Environment.Keys.Where(IsOfPerson).ToList())
        {
            start.Environment.Remove(name);
        }

        start.Environment["HELM_CACHE_HOME"] = Path.Combine(home, "cache");
        start.Environment["HELM_CONFIG_HOME"] = Path.Combine(home, "config");
        start.Environment["HELM_DATA_HOME"] = Path.Combine(home, "data");
        using var process = Process.Start(start)!;
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
            var errors = await process.StandardError.ReadToEndAsync(cancellationToken);
            await output;
            await process.WaitForExitAsync(cancellationToken);
            if (process.ExitCode != 0)
            {
                throw new RehearsalException($"helm could not install the live stack (exit code {process.ExitCode}): {errors.Trim()}");
            }
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
    }

    /// <summary>Returns when every Deployment of the namespace has all its replicas ready, and the edge serves every host.</summary>
    /// <exception cref="RehearsalException">Not within the patience; the message names what is missing.</exception>
    public async Task WaitUntilServingAsync(string @namespace, Edge edge, TimeSpan patience, CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            var missing = NotReady(@namespace).Concat(Workload.Hosts.Where(host => !edge.Serves($"{host}.{Workload.Zone}"))).ToList();
            if (missing.Count == 0)
            {
                return;
            }

            if (time.GetElapsedTime(started) > patience)
            {
                throw new RehearsalException(
                    $"The stack in {@namespace} does not serve after {patience.TotalSeconds:0} s; missing: {string.Join(", ", missing)}.");
            }

            await Task.Delay(TimeSpan.FromMilliseconds(20), time, cancellationToken);
        }
    }

    /// <summary>The image tag that a namespace's OMS runs; null where there is none.</summary>
    public string? ReleaseIn(string @namespace)
    {
        var deployment = store.Get(new ObjectKey("apps", "deployments", @namespace, "oms-service"));
        var image = (string?)deployment?["spec"]?["template"]?["spec"]?["containers"]?[0]?["image"];
        return image?.Split('@')[0] is { } reference ? reference[(reference.LastIndexOf(':') + 1)..] : null;
    }

    private IEnumerable<string> NotReady(string @namespace)
    {
        var deployments = store.List("apps", "deployments", @namespace);
        if (deployments.Count < Workload.All.Count)
        {
            yield return $"{Workload.All.Count - deployments.Count} deployments";
        }

        foreach (var deployment in deployments)
        {
            var (ready, wanted) = ((int?)deployment["status"]?["readyReplicas"] ?? 0, (int?)deployment["spec"]?["replicas"] ?? 1);
            if (ready < wanted)
            {
                yield return string.Create(
                    CultureInfo.InvariantCulture, $"{(string)deployment["metadata"]!["name"]!} ({ready} of {wanted})");
            }
        }
    }

    private void EnsureIngressService(string slot)
    {
        var address = identity.Address(slot).ToString();
        var @namespace = "ingress-" + slot;
        const string name = "ingress-nginx-controller";
        Ensure("services", @namespace, name, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Service",
            ["spec"] = new JsonObject
            {
                ["type"] = "LoadBalancer",
                ["selector"] = new JsonObject { ["app.kubernetes.io/name"] = "ingress-nginx" },
                ["ports"] = new JsonArray(
                    new JsonObject { ["name"] = "http", ["port"] = 80, ["protocol"] = "TCP", ["targetPort"] = "http" },
                    new JsonObject { ["name"] = "https", ["port"] = 443, ["protocol"] = "TCP", ["targetPort"] = "https" }),
            },
        });
        store.Update(new ObjectKey("", "services", @namespace, name), service => service["status"] = new JsonObject
        {
            ["loadBalancer"] = new JsonObject { ["ingress"] = new JsonArray(new JsonObject { ["ip"] = address }) },
        });
    }

    // The edge is this program's own; its pod is what a person and a scraper find of it in the cluster.
    private void EnsureIngressController(string slot)
    {
        var labels = new JsonObject { ["app.kubernetes.io/name"] = "ingress-nginx", ["app.kubernetes.io/component"] = "controller" };
        Ensure("deployments", "ingress-" + slot, "ingress-nginx-controller", new JsonObject
        {
            ["apiVersion"] = "apps/v1",
            ["kind"] = "Deployment",
            ["spec"] = new JsonObject
            {
                ["replicas"] = 1,
                ["revisionHistoryLimit"] = 3,
                ["strategy"] = new JsonObject
                {
                    ["type"] = "RollingUpdate",
                    ["rollingUpdate"] = new JsonObject { ["maxSurge"] = 1, ["maxUnavailable"] = 0 },
                },
                ["selector"] = new JsonObject { ["matchLabels"] = labels.DeepClone() },
                ["template"] = new JsonObject
                {
                    ["metadata"] = new JsonObject { ["labels"] = labels },
                    ["spec"] = new JsonObject
                    {
                        ["restartPolicy"] = "Always",
                        ["terminationGracePeriodSeconds"] = 2,
                        ["containers"] = new JsonArray(new JsonObject
                        {
                            ["name"] = "controller",
                            ["image"] = IngressController.Image,
                            ["imagePullPolicy"] = "IfNotPresent",
                            ["ports"] = new JsonArray(
                                new JsonObject { ["name"] = "metrics", ["containerPort"] = EdgeMetrics.Port, ["protocol"] = "TCP" }),
                            ["readinessProbe"] = new JsonObject
                            {
                                ["httpGet"] = new JsonObject { ["path"] = "/healthz", ["port"] = EdgeMetrics.Port, ["scheme"] = "HTTP" },
                                ["periodSeconds"] = 1,
                                ["timeoutSeconds"] = 2,
                                ["successThreshold"] = 1,
                                ["failureThreshold"] = 5,
                            },
                        }),
                    },
                },
            },
        });
    }

    private void EnsureSecret(string name, params (string Key, string Value)[] data)
    {
        EnsureSecret(name, "Opaque", data);
    }

    private void EnsureSecret(string name, string type, params (string Key, string Value)[] data)
    {
        Ensure("secrets", Namespace, name, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Secret",
            ["type"] = type,
            ["data"] = new JsonObject(data.Select(entry =>
                KeyValuePair.Create(entry.Key, (JsonNode?)Convert.ToBase64String(Encoding.UTF8.GetBytes(entry.Value))))),
        });
    }

    private void Ensure(string resource, string? @namespace, string name, JsonObject body)
    {
        var group = resource switch
        {
            "deployments" => "apps",
            "ingressclasses" => "networking.k8s.io",
            _ => "",
        };
        if (store.Get(new ObjectKey(group, resource, @namespace, name)) is not null)
        {
            return;
        }

        body["metadata"] = new JsonObject { ["name"] = name };
        if (@namespace is not null)
        {
            body["metadata"]!["namespace"] = @namespace;
        }

        store.Create(group, resource, body);
    }
}
