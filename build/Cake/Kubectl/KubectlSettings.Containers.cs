namespace Cake.Kubectl;

/// <summary>Switches of <c>kubectl exec</c>; null leaves one out.</summary>
public sealed class KubectlExecSettings : AutoToolSettings
{
    public string? Container { get; set; }

    public string? Filename { get; set; }

    public string? PodRunningTimeout { get; set; }

    public bool? Quiet { get; set; }

    public bool? Stdin { get; set; }

    public bool? Tty { get; set; }
}

/// <summary>Switches of <c>kubectl cp</c>; null leaves one out.</summary>
public sealed class KubectlCpSettings : AutoToolSettings
{
    public string? Container { get; set; }

    public bool? NoPreserve { get; set; }

    public string? Retries { get; set; }
}

/// <summary>Switches of <c>kubectl logs</c>; null leaves one out.</summary>
public sealed class KubectlLogsSettings : AutoToolSettings
{
    public bool? AllContainers { get; set; }

    public string? Container { get; set; }

    public bool? Follow { get; set; }

    public bool? IgnoreErrors { get; set; }

    public bool? InsecureSkipTlsVerifyBackend { get; set; }

    public string? LimitBytes { get; set; }

    public string? MaxLogRequests { get; set; }

    public string? PodRunningTimeout { get; set; }

    public bool? Prefix { get; set; }

    public bool? Previous { get; set; }

    public string? Selector { get; set; }

    public string? Since { get; set; }

    public string? SinceTime { get; set; }

    public int? Tail { get; set; }

    public bool? Timestamps { get; set; }
}

/// <summary>Switches of <c>kubectl proxy</c>; null leaves one out.</summary>
public sealed class KubectlProxySettings : AutoToolSettings
{
    public string? AcceptHosts { get; set; }

    public string? AcceptPaths { get; set; }

    public string? Address { get; set; }

    public string? ApiPrefix { get; set; }

    public bool? AppendServerPath { get; set; }

    public bool? DisableFilter { get; set; }

    public string? Keepalive { get; set; }

    public int? Port { get; set; }

    public string? RejectMethods { get; set; }

    public string? RejectPaths { get; set; }

    public string? UnixSocket { get; set; }

    public string? Www { get; set; }

    public string? WwwPrefix { get; set; }
}
