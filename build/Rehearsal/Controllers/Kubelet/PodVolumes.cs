using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>A volume that cannot be set up now.</summary>
internal sealed class VolumeUnavailableException(string volume, string reason)
    : Exception($"MountVolume.SetUp failed for volume \"{volume}\" : {reason}");

/// <summary>
/// The volumes of one pod as directories of this machine: real files, written when the pod starts and again when their source changes.
/// </summary>
/// <param name="directory">The pod's own directory, mode 0700; gone with the pod.</param>
/// <param name="shared">What outlives pods: the directories of claims and of the node.</param>
internal sealed class PodVolumes(ObjectStore store, string directory, string shared, string node)
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    private static readonly string[] Usual = ["etc", "home", "mnt", "opt", "root", "run", "srv", "tmp", "var/run", "var/tmp"];

    private readonly Lock _lock = new();

    /// <summary>Makes all volumes as they have to be now.</summary>
    /// <exception cref="VolumeUnavailableException">A source that is not optional is missing, or of a kind the rehearsal lacks.</exception>
    public void Mount(JsonObject pod, string podIp)
    {
        lock (_lock)
        {
            CreatePrivate(directory);
            foreach (var volume in pod.Items("spec", "volumes"))
            {
                Mount(pod, volume, podIp);
            }
        }
    }

    /// <summary>Writes the volumes again that hold what has changed. A source that has gone leaves the files as they are.</summary>
    public void Refresh(JsonObject pod, string podIp, ObjectKey changed)
    {
        lock (_lock)
        {
            if (!Directory.Exists(directory))
            {
                return;
            }

            foreach (var volume in pod.Items("spec", "volumes").Where(volume => Uses(volume, changed)))
            {
                try
                {
                    Mount(pod, volume, podIp);
                }
                catch (VolumeUnavailableException)
                {
                    // As a real kubelet: the mounted copy stays.
                }
            }
        }
    }

    /// <summary>Container path → host path for every mount of a container.</summary>
    public Dictionary<string, string> MountsOf(JsonObject pod, JsonObject container, IReadOnlyDictionary<string, string> environment)
    {
        var volumes = pod.Items("spec", "volumes").ToDictionary(volume => volume.Text("name") ?? "", StringComparer.Ordinal);
        var mounts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var mount in container.Items("volumeMounts"))
        {
            var name = mount.Text("name") ?? "";
            if (!volumes.TryGetValue(name, out var volume))
            {
                throw new ConfigurationMissingException($"volume \"{name}\" not found");
            }

            var host = HostPath(pod, volume);
            var inside = mount.Text("subPathExpr") is { } expression
                ? ContainerEnvironment.Expand(expression, environment)
                : mount.Text("subPath");
            if (inside is not null)
            {
                host = Path.Combine(host, inside.TrimStart('/'));
                if (!File.Exists(host))
                {
                    Directory.CreateDirectory(host);
                }
            }

            mounts[mount.Text("mountPath")!.TrimEnd('/')] = host;
        }

        return mounts;
    }

    /// <summary>A fresh root for a container's next run: the folders every image has, and links where its mounts are.</summary>
    public string PrepareRoot(string container, IReadOnlyDictionary<string, string> mounts)
    {
        lock (_lock)
        {
            var root = Path.Combine(directory, "containers", container);
            if (Directory.Exists(root))
            {
                Directory.Delete(root, recursive: true);
            }

            foreach (var usual in Usual)
            {
                Directory.CreateDirectory(Path.Combine(root, usual));
            }

            foreach (var (path, host) in mounts.OrderBy(mount => mount.Key.Length))
            {
                var link = Path.Combine(root, path.TrimStart('/'));
                Directory.CreateDirectory(Path.GetDirectoryName(link)!);
                if (Directory.Exists(link) && new DirectoryInfo(link).LinkTarget is null)
                {
                    Directory.Delete(link, recursive: true);
                }

                if (!Path.Exists(link))
                {
                    File.CreateSymbolicLink(link, host);
                }
            }

            return root;
        }
    }

    public void Delete()
    {
        lock (_lock)
        {
            if (Directory.Exists(directory))
            {
                Directory.Delete(directory, recursive: true);
            }
        }
    }

    public static void CreatePrivate(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(path);
        }
        else
        {
            Directory.CreateDirectory(path, OwnerOnly);
        }
    }

    private static bool Uses(JsonObject volume, ObjectKey changed) => changed.Resource switch
    {
        "secrets" => volume.Text("secret", "secretName") == changed.Name
            || volume.Items("projected", "sources").Any(source => source.Text("secret", "name") == changed.Name),
        "configmaps" => volume.Text("configMap", "name") == changed.Name
            || volume.Items("projected", "sources").Any(source => source.Text("configMap", "name") == changed.Name),
        "pods" => volume.At("downwardAPI") is not null
            || volume.Items("projected", "sources").Any(source => source.At("downwardAPI") is not null),
        _ => false,
    };

    private static byte[] Text(string? value) => Encoding.UTF8.GetBytes(value ?? "");

    private string HostPath(JsonObject pod, JsonObject volume)
    {
        if (volume.Text("persistentVolumeClaim", "claimName") is { } claim)
        {
            return Path.Combine(shared, "claims", pod.Namespace()!, claim);
        }

        return volume.Text("hostPath", "path") is { } path
            ? Path.Combine(shared, "host", path.TrimStart('/'))
            : Path.Combine(directory, "volumes", volume.Text("name")!);
    }

    private void Mount(JsonObject pod, JsonObject volume, string podIp)
    {
        var name = volume.Text("name")!;
        var path = HostPath(pod, volume);
        if (volume.Text("persistentVolumeClaim", "claimName") is { } claim
            && store.Get(new ObjectKey("", "persistentvolumeclaims", pod.Namespace(), claim)) is null)
        {
            throw new VolumeUnavailableException(name, $"persistentvolumeclaim \"{claim}\" not found");
        }

        CreatePrivate(path);
        if (volume.At("emptyDir") is not null || volume.At("persistentVolumeClaim") is not null || volume.At("hostPath") is not null)
        {
            return;
        }

        var files = new Dictionary<string, (byte[] Content, int Mode)>(StringComparer.Ordinal);
        try
        {
            if (volume.At("projected") is { } projected)
            {
                foreach (var source in projected.Items("sources"))
                {
                    Add(files, pod, source, projected.Number("defaultMode") ?? 420, podIp, projected: true);
                }
            }
            else
            {
                var only = volume.At("secret") ?? volume.At("configMap") ?? volume.At("downwardAPI");
                Add(files, pod, volume, only.Number("defaultMode") ?? 420, podIp, projected: false);
            }
        }
        catch (ConfigurationMissingException missing)
        {
            throw new VolumeUnavailableException(name, missing.Message);
        }

        Write(path, files);
    }

    private void Add(
        Dictionary<string, (byte[] Content, int Mode)> files, JsonObject pod, JsonObject source, int mode, string podIp, bool projected)
    {
        if (source.At("secret") is { } secret)
        {
            Add(files, pod, "secrets", projected ? secret.Text("name") : secret.Text("secretName"), secret, mode);
        }
        else if (source.At("configMap") is { } map)
        {
            Add(files, pod, "configmaps", map.Text("name"), map, mode);
        }
        else if (source.At("downwardAPI") is { } downward)
        {
            foreach (var item in downward.Items("items"))
            {
                var value = item.Text("fieldRef", "fieldPath") is { } field
                    ? FieldReference.Resolve(pod, podIp, node, field)
                    : FieldReference.Resource(pod, item.Text("resourceFieldRef", "containerName"), item.At("resourceFieldRef"));
                files[item.Text("path")!] = (Text(value), item.Number("mode") ?? mode);
            }
        }
        else
        {
            var kinds = string.Join(", ", source.Select(pair => pair.Key).Where(key => key != "name"));
            throw new ConfigurationMissingException($"the rehearsal does not implement volumes of kind {kinds}");
        }
    }

    private void Add(
        Dictionary<string, (byte[] Content, int Mode)> files, JsonObject pod, string resource, string? name, JsonNode reference, int mode)
    {
        var optional = reference.Flag("optional") == true;
        if (store.Get(new ObjectKey("", resource, pod.Namespace(), name ?? "")) is not { } bag)
        {
            if (!optional)
            {
                throw new ConfigurationMissingException($"{resource[..^1]} \"{name}\" not found");
            }

            return;
        }

        var entries = ConfigurationData.Entries(bag).ToDictionary(entry => entry.Key, entry => entry.Value, StringComparer.Ordinal);
        if (reference.At("items") is not JsonArray items)
        {
            foreach (var (key, content) in entries)
            {
                files[key] = (content, mode);
            }

            return;
        }

        foreach (var item in items.OfType<JsonObject>())
        {
            if (entries.TryGetValue(item.Text("key") ?? "", out var content))
            {
                files[item.Text("path")!] = (content, item.Number("mode") ?? mode);
            }
            else if (!optional)
            {
                var kind = resource == "secrets" ? "secret" : "config";
                throw new ConfigurationMissingException($"references non-existent {kind} key: {item.Text("key")}");
            }
        }
    }

    /// <summary>Makes the directory hold exactly these files; each is replaced at once, so that no reader sees half of one.</summary>
    private static void Write(string path, Dictionary<string, (byte[] Content, int Mode)> files)
    {
        foreach (var existing in Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories))
        {
            if (!files.ContainsKey(Path.GetRelativePath(path, existing)))
            {
                File.Delete(existing);
            }
        }

        foreach (var (name, (content, mode)) in files)
        {
            var target = Path.GetFullPath(Path.Combine(path, name));
            if (!target.StartsWith(path + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            {
                throw new ConfigurationMissingException($"the path \"{name}\" leads out of the volume");
            }

            if (File.Exists(target) && File.ReadAllBytes(target).AsSpan().SequenceEqual(content))
            {
                continue;
            }

            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            var fresh = target + ".new";
            File.WriteAllBytes(fresh, content);
            if (!OperatingSystem.IsWindows())
            {
                File.SetUnixFileMode(fresh, (UnixFileMode)(mode & 0x1FF));
            }

            File.Move(fresh, target, overwrite: true);
        }
    }
}
