using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Transfer;
using Rollout.Archive;
using Rollout.Commands;

namespace Rollout.Tools;

/// <summary>What archiving costs beside a plain parallel copy of the same files.</summary>
/// <param name="Seconds">Ours: each file stored, flushed and read back by its SHA-256, and a manifest.</param>
/// <param name="ByHandSeconds">The copy's, eight at once and on disk at the end; it proves nothing.</param>
/// <param name="PeakMegabytes">The most that this process held meanwhile, all of it.</param>
/// <param name="GrowthMegabytes">By how much that was more than before.</param>
public sealed record ArchiveFigure(string Name, double Seconds, double ByHandSeconds, double PeakMegabytes, double GrowthMegabytes);

/// <summary>1 GB of evidence in 2,000 files into a directory, and into S3 where <c>Archive.Endpoint</c> names it.</summary>
/// <param name="folder">Takes the evidence and two copies of it.</param>
internal sealed class ArchiveBenchmark(RolloutContext context, string folder)
{
    private const int Files = 2_000;
    private const int FileBytes = 500_000;
    private const int Repetitions = 5;
    private const string Release = "benchmark";

    private readonly string _evidence = Path.Combine(folder, "evidence");

    public async Task<IReadOnlyList<ArchiveFigure>> MeasureAsync()
    {
        await WriteEvidenceAsync();
        var directory = Path.Combine(folder, "bucket");
        var figures = new List<ArchiveFigure> { await MeasureAsync("into a directory", new DirectoryBucket(directory), _ => CopyAsync(), directory) };
        if (context.Settings["Archive.Endpoint"] is { } endpoint)
        {
            var bucket = RolloutRun.BucketOf(null, context);
            using var closed = bucket as IDisposable;
            figures.Add(await MeasureAsync("into S3", bucket, attempt => SendAsync(new Uri(endpoint), attempt), null));
        }

        return figures;
    }

    // One after the other, so that a busy moment of the machine meets both; medians.
    private async Task<ArchiveFigure> MeasureAsync(string name, IComplianceBucket bucket, Func<int, Task<double>> byHand, string? leaves)
    {
        var (ours, theirs) = (new List<double>(), new List<double>());
        var (peak, growth) = (0.0, 0.0);
        for (var attempt = 1; attempt <= Repetitions; attempt++)
        {
            context.Console.Line(string.Create(CultureInfo.InvariantCulture, $"1 GB of evidence {name}, {attempt} of {Repetitions} …"));
            var (seconds, most, grew) = await ArchiveAsync(bucket, attempt);
            ours.Add(seconds);
            theirs.Add(await byHand(attempt));

            // What the copy held stays with this process, so only what was before it is ours.
            (peak, growth) = attempt == 1 ? (most, grew) : (peak, growth);
            foreach (var left in new[] { leaves, Path.Combine(folder, "copy") }.Where(Directory.Exists))
            {
                Directory.Delete(left!, recursive: true);
            }
        }

        return new ArchiveFigure($"1 GB, {Files:N0} files, {name}", Median(ours), Median(theirs), peak, growth);

        static double Median(List<double> figures) => figures.Order().ElementAt(figures.Count / 2);
    }

    private async Task<(double Seconds, double PeakMegabytes, double GrowthMegabytes)> ArchiveAsync(IComplianceBucket bucket, int attempt)
    {
        GC.Collect();
        await File.WriteAllTextAsync("/proc/self/clear_refs", "5", context.Token);
        var before = BenchmarkFigures.PeakOf(await File.ReadAllTextAsync("/proc/self/status", context.Token));
        var clock = Stopwatch.GetTimestamp();
        var manifest = await ComplianceArchive.StoreAsync(
            Release, [new ArchiveSource(new EvidenceFolder(_evidence))], bucket, Root, string.Create(CultureInfo.InvariantCulture, $"{attempt}"), "head", context.Time, context.Console.Progress, context.Token);
        var seconds = Stopwatch.GetElapsedTime(clock).TotalSeconds;
        var peak = BenchmarkFigures.PeakOf(await File.ReadAllTextAsync("/proc/self/status", context.Token));
        return manifest.Objects.Count == Files
            ? (seconds, peak, peak - before)
            : throw new RolloutException($"{manifest.Objects.Count} of {Files} files were archived.");
    }

    // A prefix of its own for each run: nothing in a bucket is replaced.
    private string Root => $"{context.Settings["Archive.Prefix"]}/{Release}/{Path.GetFileName(folder)}";

    private async Task WriteEvidenceAsync()
    {
        var random = new Random(1);
        var content = new byte[FileBytes];
        var sums = new List<string>();
        Directory.CreateDirectory(Path.Combine(_evidence, "ExportHealthSnapshot"));
        for (var i = 0; i < Files; i++)
        {
            random.NextBytes(content);
            var name = string.Create(CultureInfo.InvariantCulture, $"ExportHealthSnapshot/service-{i:0000}.txt");
            await File.WriteAllBytesAsync(Path.Combine(_evidence, name), content, context.Token);
            sums.Add($"{Convert.ToHexStringLower(SHA256.HashData(content))}  {name}\n");
        }

        await File.WriteAllTextAsync(Path.Combine(_evidence, "SHA256SUMS"), string.Concat(sums), context.Token);
    }

    // The library's own way to send a folder: each file once, nothing read back.
    private async Task<double> SendAsync(Uri endpoint, int attempt)
    {
        var settings = context.Settings;
        using var s3 = new AmazonS3Client(
            new BasicAWSCredentials(settings["Secrets.ArchiveAccessKey"], settings.SecretOrNull("Secrets.ArchiveSecretKey")!.Reveal()),
            new AmazonS3Config
            {
                ServiceURL = endpoint.AbsoluteUri,
                AuthenticationRegion = settings["Archive.Region"],
                ForcePathStyle = true,
                RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            });
        using var transfer = new TransferUtility(s3, new TransferUtilityConfig { ConcurrentServiceRequests = 8 });
        var clock = Stopwatch.GetTimestamp();
        await transfer.UploadDirectoryAsync(
            new TransferUtilityUploadDirectoryRequest
            {
                BucketName = settings["Archive.Bucket"],
                Directory = _evidence,
                KeyPrefix = $"{Root}-by-hand-{attempt}",
                SearchOption = SearchOption.AllDirectories,
                UploadFilesConcurrently = true,
            },
            context.Token);
        return Stopwatch.GetElapsedTime(clock).TotalSeconds;
    }

    private async Task<double> CopyAsync()
    {
        var command = new CommandLine(
            "sh", "-c", "mkdir -p \"$1/ExportHealthSnapshot\" && cd \"$0\" && find . -type f -print0 | xargs -0 -P 8 -n 25 cp --parents -t \"$1\" && sync -f \"$1\"", _evidence, Path.Combine(folder, "copy"));
        var clock = Stopwatch.GetTimestamp();
        (await context.Commands.RunAsync(command with { Echo = false, Timeout = TimeSpan.FromMinutes(10) }, context.Token)).OrThrow("Benchmark compares with it.");
        return Stopwatch.GetElapsedTime(clock).TotalSeconds;
    }
}
