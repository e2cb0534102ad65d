using System.Text.Json;

namespace Rollout.Environments;

/// <summary>One slot's places: where its stack stands and how clients reach it.</summary>
/// <param name="Name"><c>blue</c> or <c>green</c>.</param>
/// <param name="IngressService">Service of the slot's ingress controller, <c>NAMESPACE/NAME</c>; its load balancer address is the slot's.</param>
/// <param name="Session">An admin session of this slot; a session of the other slot is unknown here (platform contract, section 5).</param>
/// <param name="Redis">Where this slot's safe mode keeps its state.</param>
public sealed record SlotPlace(string Name, string Namespace, string IngressClass, string IngressService, Secret Session, Secret Redis);

/// <summary>
/// What an environment is made of: addresses and credentials. In <c>embedded</c> the world's own file tells them, elsewhere the settings
/// do; nothing else differs between the environments.
/// </summary>
public sealed record Surroundings
{
    public required string? Kubeconfig { get; init; }

    public required string? Context { get; init; }

    /// <summary>Whether pod addresses answer this machine; else services that want a session are reached by port-forward.</summary>
    public required bool PodsAnswerDirectly { get; init; }

    public required SlotPlace Blue { get; init; }

    public required SlotPlace Green { get; init; }

    public required int HttpsPort { get; init; }

    public required string? CertificateAuthority { get; init; }

    public required Uri DnsApi { get; init; }

    public required Secret DnsToken { get; init; }

    public required IReadOnlyList<string> NameServers { get; init; }

    /// <summary>Caching resolvers to look through, <c>address[:port]</c>; empty: the machine's own.</summary>
    public required IReadOnlyList<string> Resolvers { get; init; }

    public required Uri GithubApi { get; init; }

    public required string GithubRepository { get; init; }

    public required Secret? GithubToken { get; init; }

    public required Secret? RegistryToken { get; init; }

    public required Uri? TracesApi { get; init; }

    public required string? Otlp { get; init; }

    public required Secret Database { get; init; }

    public required string? ArchiveDirectory { get; init; }

    /// <summary>The Aether checkout.</summary>
    public required string Platform { get; init; }

    /// <summary>The releases that an embedded world offers, oldest first; empty elsewhere.</summary>
    public IReadOnlyList<string> Releases { get; init; } = [];

    /// <summary>The control interface of an embedded world: faults and the exchange's log. Null elsewhere.</summary>
    public (Uri Api, Secret Token)? Control { get; init; }

    public SlotPlace Slot(string name) => name == "blue" ? Blue : Green;

    public SlotPlace Other(SlotPlace slot) => slot.Name == "blue" ? Green : Blue;

    /// <summary>From settings that <see cref="RolloutSettings.Resolve"/> has found complete.</summary>
    public static Surroundings From(RolloutSettings settings) => new()
    {
        Kubeconfig = settings["Cluster.Kubeconfig"],
        Context = settings["Cluster.Context"],
        PodsAnswerDirectly = settings["Cluster.Services"] == "pods",
        Blue = Place(settings, "Blue"),
        Green = Place(settings, "Green"),
        HttpsPort = settings.WholeNumber("Traffic.HttpsPort"),
        CertificateAuthority = settings["Traffic.CertificateAuthority"],
        DnsApi = new Uri(settings["Dns.Api"]!),
        DnsToken = settings.SecretOrNull("Secrets.LinodeToken")!,
        NameServers = settings.List("Dns.NameServers"),
        Resolvers = settings.List("Dns.Resolvers"),
        GithubApi = new Uri(settings["Github.Api"]!),
        GithubRepository = settings["Github.Repository"]!,
        GithubToken = settings.SecretOrNull("Secrets.GithubToken"),
        RegistryToken = settings.SecretOrNull("Secrets.RegistryToken"),
        TracesApi = settings["Traces.Api"] is { } traces ? new Uri(traces) : null,
        Otlp = settings["Traces.Otlp"],
        Database = settings.SecretOrNull("Secrets.Database")!,
        ArchiveDirectory = settings["Archive.Directory"],
        Platform = Path.GetFullPath(settings["Rollout.Platform"]!),
    };

    /// <summary>From an embedded world's <c>world.json</c>; <c>--platform</c> replaces the checkout that it brings.</summary>
    /// <exception cref="RolloutException">The file is no world of ours.</exception>
    public static Surroundings From(JsonElement world, RolloutSettings settings)
    {
        try
        {
            var slots = world.GetProperty("slots");
            var dns = world.GetProperty("dns");
            var github = world.GetProperty("github");
            var traces = world.GetProperty("traces");
            var control = world.GetProperty("control");
            return new Surroundings
            {
                Kubeconfig = Text(world, "kubeconfig"),
                Context = Text(world, "context"),
                PodsAnswerDirectly = true,
                Blue = Place("blue", slots.GetProperty("blue")),
                Green = Place("green", slots.GetProperty("green")),
                HttpsPort = world.GetProperty("httpsPort").GetInt32(),
                CertificateAuthority = Text(world, "certificateAuthority"),
                DnsApi = new Uri(Text(dns, "api")),
                DnsToken = new Secret(Text(dns, "token")),
                NameServers = settings.List("Dns.NameServers") is { Count: > 0 } named ? named : [.. dns.GetProperty("nameServers").EnumerateArray().Select(s => s.GetString()!)],
                Resolvers = settings.List("Dns.Resolvers") is { Count: > 0 } resolvers ? resolvers : [.. dns.GetProperty("nameServers").EnumerateArray().Select(s => s.GetString()!).Take(1)],
                GithubApi = new Uri(Text(github, "api")),
                GithubRepository = Text(github, "repository"),
                GithubToken = new Secret(Text(github, "token")),
                RegistryToken = new Secret(Text(world.GetProperty("registry"), "token")),
                TracesApi = new Uri(Text(traces, "api")),
                Otlp = Text(traces, "otlp"),
                Database = new Secret(Text(world.GetProperty("database"), "dsn")),
                ArchiveDirectory = Text(world, "bucket"),
                Platform = settings["Rollout.Platform"] is { } platform ? Path.GetFullPath(platform) : Text(world, "platform"),
                Releases = [.. world.GetProperty("releases").EnumerateArray().Select(s => s.GetString()!)],
                Control = (new Uri(Text(control, "api")), new Secret(Text(control, "token"))),
            };
        }
        catch (Exception exception) when (exception is KeyNotFoundException or InvalidOperationException or UriFormatException)
        {
            throw new RolloutException(
                $"The embedded world's world.json is not one of this version: {exception.Message}",
                "Remove it with ./build.sh --target=RehearsalDown and start again.",
                ExitCode.Failed,
                exception);
        }
    }

    private static SlotPlace Place(RolloutSettings settings, string slot) => new(
        slot.ToLowerInvariant(),
        settings[$"Slots.{slot}Namespace"]!,
        settings[$"Slots.{slot}IngressClass"]!,
        settings[$"Slots.{slot}IngressService"]!,
        settings.SecretOrNull($"Secrets.Session{slot}")!,
        settings.SecretOrNull($"Secrets.Redis{slot}")!);

    private static SlotPlace Place(string name, JsonElement slot) => new(
        name,
        Text(slot, "namespace"),
        Text(slot, "ingressClass"),
        Text(slot, "ingressService"),
        new Secret(Text(slot, "session")),
        new Secret(Text(slot, "redis")));

    private static string Text(JsonElement element, string name) =>
        element.GetProperty(name).GetString() ?? throw new InvalidOperationException($"'{name}' is null.");
}
