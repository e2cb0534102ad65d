using System.Text;
using Rollout.Cluster;
using Rollout.Commands;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

/// <summary>Containers are folders here: a kubectl of the test's own runs the command in one, with the real tar, sh and python3.</summary>
[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class PodFilesTests
{
    private const string State = ".aether_state";
    private const string Key = "c2VjcmV0LWtleS1vZi1saXZl";

    private readonly ToolPlace _place = new();
    private readonly string _live = Directory.CreateTempSubdirectory("pod-live-").FullName;
    private readonly string _candidate = Directory.CreateTempSubdirectory("pod-candidate-").FullName;

    private static readonly PodContainer Live = new("aether-blue", "live", "account-service");
    private static readonly PodContainer Candidate = new("aether-green", "candidate", "account-service");

    [TearDown]
    public void Remove()
    {
        _place.Dispose();
        Directory.Delete(_live, recursive: true);
        Directory.Delete(_candidate, recursive: true);
    }

    [Test]
    public async Task Files_go_from_one_container_to_another_with_content_and_mode()
    {
        Put(_live, "accounts/encryption.key", Key);
        Put(_live, "advisor/deep/er/notes.json", "{}");
        Put(_candidate, "accounts/encryption.key", "its own");
        Put(_candidate, "advisor/kept.json", "[]");
        var files = Files();

        await files.WriteAsync(Candidate, State, (await files.ReadAsync(Live, State, default))!, default);

        Assert.Multiple(() =>
        {
            Assert.That(Read(_candidate, "accounts/encryption.key"), Is.EqualTo(Key));
            Assert.That(Read(_candidate, "advisor/deep/er/notes.json"), Is.EqualTo("{}"));
            Assert.That(Read(_candidate, "advisor/kept.json"), Is.EqualTo("[]"), "what was not given stays");
            Assert.That(File.GetUnixFileMode(Path.Combine(_candidate, State, "accounts/encryption.key")), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
            Assert.That(Directory.Exists(Path.Combine(_candidate, State, ".incoming")), Is.False);
        });
    }

    [Test]
    public async Task No_content_shows_on_a_command_line_or_the_console()
    {
        Put(_live, "accounts/encryption.key", Key);
        var files = Files();
        await files.WriteAsync(Candidate, State, (await files.ReadAsync(Live, State, default))!, default);
        Assert.That(File.ReadAllText(_place.PathOf("kubectl.calls")) + _place.Output, Does.Contain("tar").And.Not.Contain(Key));
    }

    [Test]
    public async Task A_directory_that_is_not_there_holds_nothing() => Assert.That(await Files().ReadAsync(Live, State, default), Is.Null);

    [Test]
    public async Task An_archive_that_breaks_off_replaces_nothing()
    {
        Put(_candidate, "accounts/encryption.key", "its own");
        var files = Files(before: "head -c 1024 > \"$0.half\"; exec < \"$0.half\"");

        var failure = (await Assert.ThrowsAsync<RolloutException>(
            () => files.WriteAsync(Candidate, State, [Of("accounts/encryption.key", Key), Of("advisor/x.json", new string('x', 5000))], default)))!;

        Assert.That(failure.Message, Does.Contain($"{State} cannot be written in aether-green/candidate (account-service)"));
        Assert.That(Read(_candidate, "accounts/encryption.key"), Is.EqualTo("its own"));
    }

    [Test]
    public async Task A_write_after_one_that_was_killed_starts_clean()
    {
        Put(_candidate, ".incoming/accounts/encryption.key", "half of anoth");
        Put(_candidate, "x.json", "{}");
        var files = Files();
        await files.WriteAsync(Candidate, State, [Of("y.json", "[]")], default);
        Assert.That((await files.ReadAsync(Candidate, State, default))!.Select(f => f.Path), Is.EqualTo(new[] { "x.json", "y.json" }));
    }

    [Test]
    public async Task A_link_is_refused_for_it_may_lead_anywhere()
    {
        Put(_live, "a.json", "{}");
        File.CreateSymbolicLink(Path.Combine(_live, State, "passwd"), "/etc/passwd");
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => Files().ReadAsync(Live, State, default)))!;
        Assert.That(failure.Message, Does.Contain("passwd' (SymbolicLink)").And.Contain("Nothing was changed"));
    }

    [TestCase("../../etc/cron.d/x")]
    [TestCase("/etc/cron.d/x")]
    [TestCase(".aether_state/./../../x")]
    public async Task A_name_that_leads_out_of_the_directory_is_refused(string name)
    {
        var python = $"import io,sys,tarfile; t=tarfile.open(fileobj=sys.stdout.buffer,mode='w|'); i=tarfile.TarInfo('{name}'); i.size=1; t.addfile(i,io.BytesIO(b'x')); t.close()";
        var files = Files(before: $"exec python3 -c \"{python}\"");
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => files.ReadAsync(Live, State, default)))!;
        Assert.That(failure.Message, Does.Contain("none that leads elsewhere"));
    }

    [TestCase("printf 'garbage that is no archive at all'")]
    [TestCase("tar cf - .aether_state/. | head -c 700")]
    public async Task What_is_no_whole_archive_is_no_set_of_files(string instead)
    {
        Put(_live, "a.json", new string('x', 3000));
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => Files(before: $"{instead}; exit 0").ReadAsync(Live, State, default)))!;
        Assert.That(failure.Message, Does.Contain("is no whole archive").And.Not.Contain("xxx"));
    }

    [Test]
    public async Task An_image_without_tar_is_told_as_such()
    {
        var files = Files(before: "echo 'exec: \"tar\": executable file not found in $PATH' >&2; exit 127");
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => files.ReadAsync(Live, State, default)))!;
        Assert.That(failure.Message, Does.Contain("its image has no tar"));
    }

    [Test]
    public async Task A_server_that_drops_the_connection_is_asked_again()
    {
        Put(_live, "a.json", "{}");
        var files = Files(before: "if [ ! -f \"$0.once\" ]; then touch \"$0.once\"; echo 'error: unable to upgrade connection: EOF' >&2; exit 1; fi");
        Assert.That((await files.ReadAsync(Live, State, default))!.Single().Path, Is.EqualTo("a.json"));
    }

    [Test]
    public async Task A_variable_that_is_unset_is_no_error_and_a_forbidden_exec_is()
    {
        Assert.That(await Files().VariableAsync(Live, "AETHER_STATE_DIR_OF_NOBODY", default), Is.Null);
        var forbidden = Files(before: "echo 'Error from server (Forbidden): pods \"live\" is forbidden: cannot create resource \"pods/exec\"' >&2; exit 1");
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => forbidden.VariableAsync(Live, "AETHER_STATE_DIR", default)))!;
        Assert.That(failure.Message, Does.Contain("AETHER_STATE_DIR cannot be read").And.Contain("Forbidden"));
    }

    [Test]
    public async Task A_database_is_copied_whole_while_it_is_written()
    {
        Directory.CreateDirectory(Path.Combine(_live, State));
        var path = Path.Combine(_live, State, "timescale_company.sqlite");
        var writer = Path.Combine(_live, "writer.py");
        await File.WriteAllTextAsync(writer, """
            import sqlite3, sys
            db = sqlite3.connect(sys.argv[1], isolation_level=None)
            db.execute('PRAGMA journal_mode=WAL')
            db.execute('CREATE TABLE pairs(a INTEGER, b INTEGER)')
            n = 0
            while True:
                n += 1
                db.execute('BEGIN')
                db.execute('INSERT INTO pairs VALUES (?, ?)', (n, n))
                db.execute('UPDATE pairs SET b = a')
                db.execute('COMMIT')
                if n == 1:
                    print('begun', flush=True)
            """);
        using var process = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("python3", [writer, path]) { RedirectStandardOutput = true })!;
        try
        {
            Assert.That(await process.StandardOutput.ReadLineAsync(), Is.EqualTo("begun"));
            for (var copy = 0; copy < 5; copy++)
            {
                var bytes = await Files().ReadDatabaseAsync(Live, State, "timescale_company.sqlite", default);
                var copied = Path.Combine(_candidate, $"copy{copy}.sqlite");
                await File.WriteAllBytesAsync(copied, bytes);
                var check = await new CommandRunner(_ => { }).RunAsync(
                    new CommandLine("python3", "-c", "import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); print(d.execute('PRAGMA integrity_check').fetchone()[0], d.execute('SELECT count(*) > 0, sum(a <> b) FROM pairs').fetchone())", copied), default);
                Assert.That(check.Output.Trim(), Is.EqualTo("ok (1, 0)"), check.Error);
            }
        }
        finally
        {
            process.Kill();
        }
    }

    [Test]
    public async Task A_database_without_python_in_the_image_is_not_copied_by_luck()
    {
        var files = Files(before: "case \"$1\" in python3) echo 'exec: \"python3\": executable file not found in $PATH' >&2; exit 126;; esac");
        var failure = (await Assert.ThrowsAsync<RolloutException>(() => files.ReadDatabaseAsync(Live, State, "x.sqlite", default)))!;
        Assert.That(failure.Message, Does.Contain("cannot be copied consistently").And.Contain("its image has no python3"));
    }

    [Test]
    public async Task Nothing_is_written_when_the_lock_is_lost()
    {
        var files = new PodFiles(_place.Script("kubectl", "touch \"$0.called\""), null, null, new CommandRunner(_ => { }), Fences.Closed, TimeProvider.System);
        await Assert.ThrowsAsync<RolloutException>(() => files.WriteAsync(Candidate, State, [Of("a", "b")], default));
        Assert.That(File.Exists(_place.PathOf("kubectl.called")), Is.False);
    }

    private PodFiles Files(string before = "")
    {
        // "$1" is the command once the options of kubectl are gone; the pod's name picks the folder.
        var kubectl = _place.Script("kubectl", $$"""
            echo "$@" >> "$0.calls"
            folder={{_live}}
            while [ "$1" != "--" ]; do if [ "$1" = candidate ]; then folder={{_candidate}}; fi; shift; done
            shift
            cd "$folder"
            {{before}}
            exec "$@"
            """);
        return new PodFiles(kubectl, null, null, new CommandRunner(_ => { }), Fences.Open, TimeProvider.System);
    }

    private static PodFile Of(string path, string content) =>
        new(path, Encoding.UTF8.GetBytes(content), UnixFileMode.UserRead | UnixFileMode.UserWrite, DateTimeOffset.UnixEpoch);

    private static void Put(string pod, string path, string content)
    {
        var file = Path.Combine(pod, State, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, content);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    private static string Read(string pod, string path) => File.ReadAllText(Path.Combine(pod, State, path));
}
