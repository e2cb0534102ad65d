using System.Diagnostics;
using Rollout.Archive;

namespace Rollout.Tests.Archive;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class EvidenceFolderTests
{
    private readonly string _parent = Directory.CreateTempSubdirectory("rollout-evidence-").FullName;

    private EvidenceFolder Folder => new(Path.Combine(_parent, "v1"));

    [TearDown]
    public void Remove() => Directory.Delete(_parent, recursive: true);

    [Test]
    public async Task A_file_is_written_hashed_and_listed()
    {
        var file = await Folder.WriteAsync("ExportHealthSnapshot", "healthz/oms.json", "{}", CancellationToken.None);
        Assert.That(
            file,
            Is.EqualTo(
                new EvidenceFile(
                    "ExportHealthSnapshot/healthz/oms.json", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2)));
        Assert.That(Folder.List(), Is.EqualTo(new[] { file }));
        Assert.That(Folder.Verify(), Is.Empty);
        Assert.That(await File.ReadAllTextAsync(Folder.FullPath(file.Path)), Is.EqualTo("{}"));
    }

    [Test]
    public async Task A_file_of_the_same_name_is_replaced()
    {
        await Folder.WriteAsync("S", "a.txt", "one", CancellationToken.None);
        await Folder.WriteAsync("S", "a.txt", "two", CancellationToken.None);
        Assert.That(Folder.List(), Has.Count.EqualTo(1));
        Assert.That(Folder.Verify(), Is.Empty);
    }

    [Test]
    public async Task Many_writers_lose_nothing()
    {
        var folder = Folder;
        await Task.WhenAll(Enumerable.Range(0, 40).Select(i => folder.WriteAsync("S", $"f{i}", $"{i}", CancellationToken.None)));
        Assert.That(folder.List(), Has.Count.EqualTo(40));
        Assert.That(folder.Verify(), Is.Empty);
    }

    [TestCase("..", "a")]
    [TestCase("S", "../a")]
    [TestCase("S", "/etc/passwd")]
    [TestCase("S", "a//b")]
    [TestCase("S", ".hidden")]
    [TestCase("S", "a\\b")]
    [TestCase("S", "a b")]
    [TestCase("", "a")]
    [TestCase("S/T", "a")]
    public void Names_that_could_lead_elsewhere_are_refused(string step, string name)
    {
        Assert.That(() => Folder.WriteAsync(step, name, "x", CancellationToken.None), Throws.TypeOf<RolloutException>());
        Assert.That(Directory.EnumerateFileSystemEntries(_parent), Is.Empty);
    }

    [Test]
    public async Task Changed_lost_and_foreign_files_are_found()
    {
        foreach (var name in new[] { "a", "b", "c" })
        {
            await Folder.WriteAsync("S", name, name, CancellationToken.None);
        }

        await File.WriteAllTextAsync(Folder.FullPath("S/a"), "changed");
        File.Delete(Folder.FullPath("S/b"));
        await File.WriteAllTextAsync(Folder.FullPath("S/d"), "foreign");
        await File.WriteAllTextAsync(Folder.FullPath("journal.jsonl"), "the journal's mirror is not evidence");
        var problems = Folder.Verify();
        Assert.That(problems, Has.Count.EqualTo(3));
        Assert.That(problems[0], Does.StartWith("'S/a' was changed"));
        Assert.That(problems[1], Is.EqualTo("'S/b' is gone."));
        Assert.That(problems[2], Is.EqualTo("'S/d' is not recorded."));
    }

    [Test]
    [Platform("Linux,MacOsX")]
    public async Task Only_the_owner_reads_it_and_sha256sum_understands_it()
    {
        await Folder.WriteAsync("S", "sub/a", "x", CancellationToken.None);
        if (!OperatingSystem.IsWindows())
        {
            foreach (var directory in new[] { "", "S", "S/sub" })
            {
                Assert.That(
                    File.GetUnixFileMode(Folder.FullPath(directory)),
                    Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute),
                    directory);
            }

            Assert.That(File.GetUnixFileMode(Folder.FullPath("S/sub/a")), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
        }

        using var check = Process.Start(
            new ProcessStartInfo(
                "sha256sum", ["-c", "SHA256SUMS"])
            { WorkingDirectory = Folder.Directory, RedirectStandardOutput = true })!;
        Assert.That(await check.StandardOutput.ReadToEndAsync(), Is.EqualTo("S/sub/a: OK\n"));
    }

    [Test]
    public async Task A_write_that_fails_leaves_nothing_behind()
    {
        Directory.CreateDirectory(Path.Combine(_parent, "v1", "S", "a"));
        Assert.That(() => Folder.WriteAsync("S", "a", "x", CancellationToken.None), Throws.InstanceOf<SystemException>());
        Assert.That(Directory.EnumerateFiles(_parent, "*", SearchOption.AllDirectories), Is.Empty);
        await Task.CompletedTask;
    }
}
