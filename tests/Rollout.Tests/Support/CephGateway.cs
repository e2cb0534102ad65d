using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;

using S3Bucket = Rollout.Archive.S3Bucket;
using S3Location = Rollout.Archive.S3Location;

namespace Rollout.Tests.Support;

/// <summary>
/// A real Ceph Object Gateway on loopback, which is what Linode's object storage is made of: a monitor, one OSD whose store is memory, and the gateway. Everything
/// that it writes is in a private directory.
/// </summary>
internal sealed class CephGateway : IAsyncDisposable
{
    private const string AccessKey = "AKROLLOUT";
    private const string SecretKey = "a-secret-of-this-test-run";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(90);

    private readonly string _directory;
    private readonly List<Process> _daemons = [];
    private AmazonS3Client _admin = null!;
    private int _buckets;

    private CephGateway(string directory) => _directory = directory;

    public Uri Endpoint { get; private set; } = null!;

    /// <summary>Whether this machine has it.</summary>
    public static bool IsInstalled => new[] { "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph" }.All(p => File.Exists(Path.Combine("/usr/bin", p)));

    public static async Task<CephGateway> StartAsync()
    {
        for (var attempt = 1; ; attempt++)
        {
            var gateway = new CephGateway(Directory.CreateTempSubdirectory("rollout-ceph-").FullName);
            try
            {
                await gateway.BeginAsync();
                return gateway;
            }
            catch (IOException) when (attempt < 3)
            {
                // Another process may take a port between our finding and using it.
                await gateway.DisposeAsync();
            }
            catch
            {
                await gateway.DisposeAsync();
                throw;
            }
        }
    }

    /// <summary>Makes a bucket and opens it.</summary>
    /// <param name="hasLocks">Whether it is made with Object Lock.</param>
    public async Task<string> CreateBucketAsync(bool hasLocks = false)
    {
        var name = $"compliance-{Interlocked.Increment(ref _buckets)}";
        await _admin.PutBucketAsync(new PutBucketRequest { BucketName = name, ObjectLockEnabledForBucket = hasLocks });
        return name;
    }

    public S3Bucket Open(string bucket, Rollout.Archive.ObjectLock? objectLock = null, string accessKey = AccessKey, string secretKey = SecretKey) =>
        new(new S3Location(Endpoint, bucket, "eu-central-1", accessKey, new Secret(secretKey)) { Lock = objectLock }, TimeProvider.System);

    /// <summary>Writes an object as somebody else does.</summary>
    public Task WriteAsync(string bucket, string key, string content) =>
        _admin.PutObjectAsync(new PutObjectRequest { BucketName = bucket, Key = key, ContentBody = content, UseChunkEncoding = false });

    /// <summary>Deletes the newest version of an object, or fails as the gateway does.</summary>
    public async Task DeleteVersionAsync(string bucket, string key)
    {
        var versions = await _admin.ListVersionsAsync(bucket, key);
        await _admin.DeleteObjectAsync(bucket, key, versions.Versions.First(v => v.Key == key).VersionId);
    }

    public async ValueTask DisposeAsync()
    {
        _admin?.Dispose();
        foreach (var daemon in Enumerable.Reverse(_daemons))
        {
            if (!daemon.HasExited)
            {
                daemon.Kill();
                await daemon.WaitForExitAsync();
            }

            daemon.Dispose();
        }

        Directory.Delete(_directory, recursive: true);
    }

    private async Task BeginAsync()
    {
        var (monitor, gateway) = (FreePort(), FreePort());
        var (cluster, osd) = (Guid.NewGuid().ToString(), Guid.NewGuid().ToString());
        foreach (var folder in new[] { "mon", "osd", "rgw" })
        {
            Directory.CreateDirectory(Path.Combine(_directory, folder));
        }

        await File.WriteAllTextAsync(Path.Combine(_directory, "keyring"), "");
        await File.WriteAllTextAsync(Path.Combine(_directory, "ceph.conf"), Configuration(cluster, monitor, gateway));
        await RunAsync("monmaptool", "--create", "--fsid", cluster, "--addv", "a", $"[v2:127.0.0.1:{monitor}]", Path.Combine(_directory, "monmap"));
        await RunAsync("ceph-mon", "--mkfs", "-i", "a", "--monmap", Path.Combine(_directory, "monmap"));
        Start("ceph-mon", "-f", "-i", "a");
        await RunAsync("ceph", "--connect-timeout", "20", "osd", "new", osd);
        await RunAsync("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd);
        await RunAsync("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default");
        Start("ceph-osd", "-f", "-i", "0");

        // Waits by itself until the OSD serves.
        await RunAsync("radosgw-admin", "--no-mon-config", "user", "create", "--uid=rollout", "--display-name=rollout", $"--access-key={AccessKey}", $"--secret-key={SecretKey}");
        Start("radosgw", "-f", "-n", "client.admin", "--no-mon-config", $"--rgw-data={Path.Combine(_directory, "rgw")}");
        Endpoint = new Uri($"http://127.0.0.1:{gateway}");
        _admin = new AmazonS3Client(new BasicAWSCredentials(AccessKey, SecretKey), new AmazonS3Config
        {
            ServiceURL = Endpoint.AbsoluteUri,
            ForcePathStyle = true,
            AuthenticationRegion = "eu-central-1",
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        });
        await UntilServingAsync();
    }

    private async Task UntilServingAsync()
    {
        using var http = new HttpClient();
        var begun = TimeProvider.System.GetTimestamp();
        while (true)
        {
            if (_daemons.FirstOrDefault(d => d.HasExited) is { } ended)
            {
                throw new IOException($"{ended.StartInfo.ArgumentList[2]} of Ceph ended by itself:\n{Log()}");
            }

            try
            {
                using var answer = await http.GetAsync(Endpoint);
                if (answer.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (HttpRequestException) when (TimeProvider.System.GetElapsedTime(begun) < Limit)
            {
                // It is not there yet.
            }

            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, CancellationToken.None);
        }
    }

    private string Configuration(string cluster, int monitor, int gateway) => $"""
        [global]
        fsid = {cluster}
        mon host = v2:127.0.0.1:{monitor}
        auth cluster required = none
        auth service required = none
        auth client required = none
        ms mon client mode = crc
        ms mon service mode = crc
        ms mon cluster mode = crc
        ms bind ipv6 = false
        public addr = 127.0.0.1
        cluster addr = 127.0.0.1
        keyring = {_directory}/keyring
        mon data = {_directory}/mon
        osd data = {_directory}/osd
        run dir = {_directory}
        log file = {_directory}/$name.log
        admin socket = {_directory}/$name.asok
        mon data avail warn = 1
        mon data avail crit = 1
        mon allow pool size one = true
        mon warn on pool no redundancy = false
        osd objectstore = memstore
        memstore device bytes = 4294967296
        osd pool default size = 1
        osd pool default min size = 1
        osd pool default pg num = 1
        osd pool default pgp num = 1
        osd pool default pg autoscale mode = off
        osd crush chooseleaf type = 0
        osd class load list = *
        osd class default list = *
        rgw frontends = beast endpoint=127.0.0.1:{gateway}
        rgw enable usage log = false

        """;

    private void Start(string program, params string[] arguments) => _daemons.Add(Process.Start(
        new ProcessStartInfo("/bin/sh", ["-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1", "ceph", Path.Combine(_directory, $"{program}.out"), program, "-c", Path.Combine(_directory, "ceph.conf"), .. arguments]))!);

    private async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, program == "monmaptool" ? arguments : ["-c", Path.Combine(_directory, "ceph.conf"), .. arguments])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        try
        {
            await process.WaitForExitAsync(CancellationToken.None).WaitAsync(Limit);
        }
        catch (TimeoutException)
        {
            process.Kill();
            throw new IOException($"{program} of Ceph did not end within {Limit.TotalSeconds} s:\n{Log()}");
        }

        if (process.ExitCode != 0)
        {
            throw new IOException($"{program} {string.Join(' ', arguments)}: {await error}{await output}\n{Log()}");
        }
    }

    private string Log() => string.Concat(Directory.EnumerateFiles(_directory, "*.out").Select(File.ReadAllText));

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
