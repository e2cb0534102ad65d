using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class PersistenceTests
{
    private string _directory = null!;

    [SetUp]
    public void CreateDirectory() => _directory = Directory.CreateTempSubdirectory("store-").FullName;

    [TearDown]
    public void DeleteDirectory() => Directory.Delete(_directory, recursive: true);

    [Test]
    public void Objects_and_the_counter_survive_a_process_that_ends_without_a_word()
    {
        using var abandoned = Fill(_directory);
        var revision = abandoned.Revision;
        var copy = CopyFiles();
        using var again = new ObjectStore(TimeProvider.System, copy);
        Assert.That(again.Revision, Is.EqualTo(revision));
        Assert.That(Names(again), Is.EqualTo(new[] { "c1", "c2" }), "c0 was deleted");
        again.Create("", "configmaps", Map("later"));
        Assert.That(again.Revision, Is.EqualTo(revision + 1), "the counter goes on");
    }

    [Test]
    public void A_last_line_cut_in_the_middle_is_dropped_and_written_over()
    {
        Fill(_directory).Dispose();
        var journal = Path.Combine(_directory, "objects.journal");
        var bytes = File.ReadAllBytes(journal);
        File.WriteAllBytes(journal, bytes[..^20]);
        using (var again = new ObjectStore(TimeProvider.System, _directory))
        {
            Assert.That(Names(again), Does.Contain("c1"));
            again.Create("", "configmaps", Map("later"));
        }

        using var third = new ObjectStore(TimeProvider.System, _directory);
        Assert.That(Names(third), Does.Contain("later"), "what was written after the torn line is read");
    }

    [Test]
    public void A_snapshot_and_the_lines_it_already_holds_give_the_same_state()
    {
        Fill(_directory).Dispose();
        var journal = Path.Combine(_directory, "objects.journal");
        var lines = File.ReadAllBytes(journal);
        long revision;
        using (var compacting = new StoreJournal(_directory))
        {
            (var objects, revision) = compacting.Load();
            compacting.Compact(objects.Values, revision);
        }

        Assert.That(new FileInfo(journal).Length, Is.Zero, "the journal is empty after a snapshot");
        File.WriteAllBytes(journal, lines);
        using var again = new ObjectStore(TimeProvider.System, _directory);
        Assert.That((again.Revision, string.Join(' ', Names(again))), Is.EqualTo((revision, "c1 c2")));
    }

    [Test]
    public void The_files_are_for_their_owner_only()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Ignore("Windows has no file modes.");
        }

        Fill(_directory).Dispose();
        Assert.That(
            File.GetUnixFileMode(Path.Combine(_directory, "objects.journal")),
            Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
    }

    private static ObjectStore Fill(string directory)
    {
        var store = new ObjectStore(TimeProvider.System, directory);
        store.Create("", "namespaces", TestCluster.Object("""{"metadata":{"name":"test"}}"""));
        for (var i = 0; i < 3; i++)
        {
            store.Create("", "configmaps", Map("c" + i));
        }

        store.Update(new ObjectKey("", "configmaps", "test", "c1"), value => value["data"] = new JsonObject { ["a"] = "ü\n" });
        store.Delete(new ObjectKey("", "configmaps", "test", "c0"));
        return store;
    }

    private static JsonObject Map(string name) => TestCluster.Object($$$$"""{"metadata":{"name":"{{{{name}}}}","namespace":"test"}}""");

    private static IEnumerable<string> Names(ObjectStore store) =>
        store.List("", "configmaps", "test").Select(item => item["metadata"]!["name"]!.GetValue<string>());

    private string CopyFiles()
    {
        var copy = Path.Combine(_directory, "copy");
        Directory.CreateDirectory(copy);
        foreach (var file in Directory.GetFiles(_directory))
        {
            using var source = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var target = File.Create(Path.Combine(copy, Path.GetFileName(file)));
            source.CopyTo(target);
        }

        return copy;
    }
}
