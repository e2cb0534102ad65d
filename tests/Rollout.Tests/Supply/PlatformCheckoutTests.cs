using Rollout.Commands;
using Rollout.Supply;

namespace Rollout.Tests.Supply;

[Parallelizable(ParallelScope.All)]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class PlatformCheckoutTests
{
    private const string Chart = "deploy/helm/aether-platform";

    private readonly CommandRunner _commands = new(_ => { });
    private readonly string _root = Directory.CreateTempSubdirectory("checkout-").FullName;
    private PlatformCheckout _checkout = null!;

    [SetUp]
    public async Task CreateRepository()
    {
        _checkout = new PlatformCheckout(_root, _commands);
        await GitAsync("init", "--quiet", "--initial-branch=main");
        Write($"{Chart}/Chart.yaml", "apiVersion: v2\nname: aether-platform\nversion: 1.4.0\nappVersion: \"2026.11\"\n");
        Write($"{Chart}/values.yaml", "global: {}\n");
        Write("docs/Größe und Maß.md", "first\n");
        Write(".gitignore", "*.tmp\n");
        await CommitAsync("first");
    }

    [TearDown]
    public void RemoveRepository() => Directory.Delete(_root, recursive: true);

    [Test]
    public async Task Head_and_tags_are_commits_even_through_annotated_tags()
    {
        var first = await _checkout.HeadAsync();
        await GitAsync("tag", "v1");
        await GitAsync("tag", "--annotate", "--message=second", "v1-signed");
        Write("more", "x");
        await CommitAsync("second");

        Assert.That(first, Does.Match("^[0-9a-f]{40}$"));
        Assert.That(await _checkout.HeadAsync(), Is.Not.EqualTo(first));
        Assert.That(await _checkout.CommitOfTagAsync("v1"), Is.EqualTo(first));
        Assert.That(await _checkout.CommitOfTagAsync("v1-signed"), Is.EqualTo(first));
    }

    [Test]
    public async Task A_missing_tag_is_told_with_those_there_are()
    {
        Assert.That((await FailureAsync(() => _checkout.CommitOfTagAsync("v9"))).Message, Is.EqualTo(
            $"The platform checkout {_root} has no tag 'v9'; it has none at all."));

        await GitAsync("tag", "v1");
        await GitAsync("branch", "v9");

        var failure = await FailureAsync(() => _checkout.CommitOfTagAsync("v9"));
        Assert.That(
            failure.Message,
            Is.EqualTo($"The platform checkout {_root} has no tag 'v9'; the newest are v1."),
            "a branch of that name is no tag");
        Assert.That(failure.Hint, Does.Contain($"git -C {_root} fetch --tags"));
    }

    [Test]
    public async Task Dirty_files_are_all_that_differ_from_the_commit()
    {
        Assert.That(await _checkout.DirtyFilesAsync(), Is.Empty);

        Write("docs/Größe und Maß.md", "changed\n");
        Write("ops/new file.sql", "select 1");
        Write("ignored.tmp", "x");
        File.Delete(Path.Combine(_root, Chart, "values.yaml"));
        await GitAsync("mv", $"{Chart}/Chart.yaml", "moved.yaml");

        Assert.That(await _checkout.DirtyFilesAsync(), Is.EqualTo(new[]
        {
            $"{Chart}/Chart.yaml", $"{Chart}/values.yaml", "docs/Größe und Maß.md", "moved.yaml", "ops/new file.sql",
        }));
    }

    [Test]
    public async Task A_file_is_committed_when_the_commit_has_it_as_it_is()
    {
        Write("new.yaml", "x");
        Assert.That(await _checkout.IsCommittedAsync($"{Chart}/values.yaml"), Is.True);
        Assert.That(await _checkout.IsCommittedAsync("new.yaml"), Is.False, "not tracked");

        await GitAsync("add", "new.yaml");
        Assert.That(await _checkout.IsCommittedAsync("new.yaml"), Is.False, "only staged");

        Write($"{Chart}/values.yaml", "global: {a: 1}\n");
        Assert.That(await _checkout.IsCommittedAsync($"{Chart}/values.yaml"), Is.False, "changed");
        Assert.That(await _checkout.IsCommittedAsync("docs/Größe und Maß.md"), Is.True);
    }

    [Test]
    public async Task A_file_can_be_read_as_a_revision_has_it()
    {
        await GitAsync("tag", "v1");
        Write("docs/Größe und Maß.md", "second\n");
        await CommitAsync("second");

        Assert.That(await _checkout.FileAtAsync("v1", "docs/Größe und Maß.md"), Is.EqualTo("first\n"));
        Assert.That(await _checkout.FileAtAsync("main", "docs/Größe und Maß.md"), Is.EqualTo("second\n"));
        Assert.That(
            (await FailureAsync(() => _checkout.FileAtAsync("v1", "nowhere.md"))).Message,
            Is.EqualTo($"'nowhere.md' is not a file in v1 of the platform checkout {_root}."));
        Assert.That(
            (await FailureAsync(() => _checkout.FileAtAsync("--help", "nowhere.md"))).Message,
            Is.EqualTo($"The platform checkout {_root} has no commit, tag or branch '--help'."));
    }

    [Test]
    public async Task A_folder_in_a_checkout_has_paths_of_its_own()
    {
        var docs = new PlatformCheckout(Path.Combine(_root, "docs"), _commands);
        Write("docs/Größe und Maß.md", "changed\n");
        Write("outside.md", "x");

        Assert.That(await docs.DirtyFilesAsync(), Is.EqualTo(new[] { "Größe und Maß.md" }));
        Assert.That(await docs.FileAtAsync("HEAD", "Größe und Maß.md"), Is.EqualTo("first\n"));
        Assert.That(await docs.IsCommittedAsync("Größe und Maß.md"), Is.False);
    }

    [Test]
    public async Task What_is_no_checkout_is_told()
    {
        var empty = Directory.CreateTempSubdirectory("no-checkout-").FullName;
        try
        {
            Assert.That(
                (await FailureAsync(() => new PlatformCheckout(empty, _commands).HeadAsync())).Message,
                Is.EqualTo($"{empty} is not in a git checkout."));
        }
        finally
        {
            Directory.Delete(empty);
        }

        Assert.That(
            (await FailureAsync(() => new PlatformCheckout(empty, _commands).HeadAsync())).Message,
            Is.EqualTo($"The platform checkout {empty} does not exist."));
    }

    [Test]
    public async Task A_checkout_without_a_commit_is_told()
    {
        var fresh = Directory.CreateDirectory(Path.Combine(_root, "fresh")).FullName;
        await GitAsync("init", "--quiet", fresh);

        Assert.That(
            (await FailureAsync(() => new PlatformCheckout(fresh, _commands).HeadAsync())).Message,
            Is.EqualTo($"{fresh} has no commit yet."));
    }

    [Test]
    public async Task A_checkout_of_another_user_can_be_read()
    {
        Assume.That(Environment.UserName, Is.EqualTo("root"), "only root can give files away");
        (await _commands.RunAsync(new CommandLine("chown", "-R", "nobody", _root), default)).OrThrow();

        Assert.That(await _checkout.HeadAsync(), Does.Match("^[0-9a-f]{40}$"));
    }

    [Test]
    public void The_chart_tells_its_versions()
    {
        Assert.That(_checkout.ChartVersion(Chart), Is.EqualTo(new ChartVersion("aether-platform", "1.4.0", "2026.11")));

        Write($"{Chart}/Chart.yaml", "name: aether-platform\nversion: 1.5.0\n");
        Assert.That(_checkout.ChartVersion(Chart).AppVersion, Is.Null);
    }

    [TestCase("name: [", "is not YAML")]
    [TestCase("name: x", "has no version")]
    [TestCase("version: 1.0.0", "names no chart")]
    [TestCase("", "names no chart")]
    public void A_chart_that_cannot_be_read_is_told(string yaml, string words)
    {
        Write($"{Chart}/Chart.yaml", yaml);

        Assert.That(() => _checkout.ChartVersion(Chart), Throws.TypeOf<RolloutException>().With.Message.Contains(words));
    }

    [Test]
    public void A_folder_that_is_no_chart_is_told()
    {
        Assert.That(
            () => _checkout.ChartVersion("docs"),
            Throws.TypeOf<RolloutException>().With.Message.Contains("is not a chart: it has no Chart.yaml"));
        Assert.That(
            () => _checkout.ChartVersion("nowhere"),
            Throws.TypeOf<RolloutException>().With.Message.Contains("There is no folder 'nowhere'"));
    }

    [Test]
    public void The_digest_of_a_tree_is_of_names_and_contents_and_nothing_else()
    {
        var digest = _checkout.DigestOfTree(Chart);
        Assert.That(digest, Does.Match("^sha256:[0-9a-f]{64}$"));

        File.SetLastWriteTimeUtc(Path.Combine(_root, Chart, "values.yaml"), DateTime.UnixEpoch);
        Directory.CreateDirectory(Path.Combine(_root, Chart, "empty"));
        Assert.That(_checkout.DigestOfTree(Chart), Is.EqualTo(digest), "times and empty folders are no contents");

        File.Move(Path.Combine(_root, Chart, "values.yaml"), Path.Combine(_root, Chart, "Values.yaml"));
        var renamed = _checkout.DigestOfTree(Chart);
        Assert.That(renamed, Is.Not.EqualTo(digest), "a name");

        Write($"{Chart}/Values.yaml", "global: {a: 1}\n");
        Assert.That(_checkout.DigestOfTree(Chart), Is.Not.EqualTo(renamed), "a content");
    }

    [Test]
    public void The_digest_of_a_tree_tells_where_one_file_ends_and_the_next_begins()
    {
        Write("one/a", "x");
        Write("one/b", "y");
        Write("two/a", "xb\0y");

        Assert.That(_checkout.DigestOfTree("one"), Is.Not.EqualTo(_checkout.DigestOfTree("two")));
    }

    [Test]
    public void A_link_counts_by_its_target_and_is_not_followed()
    {
        Write("one/a", "x");
        Directory.CreateSymbolicLink(Path.Combine(_root, "one", "loop"), "..");
        var digest = _checkout.DigestOfTree("one");

        Directory.Delete(Path.Combine(_root, "one", "loop"));
        Directory.CreateSymbolicLink(Path.Combine(_root, "one", "loop"), ".");

        Assert.That(_checkout.DigestOfTree("one"), Is.Not.EqualTo(digest));
    }

    private void Write(string path, string text)
    {
        var file = Path.Combine(_root, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }

    private async Task CommitAsync(string message)
    {
        await GitAsync("add", "--all");
        await GitAsync("-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", $"--message={message}");
    }

    private async Task GitAsync(params string[] arguments) => (await _commands.RunAsync(
        new CommandLine("git", ["-c", "user.name=Test", "-c", "user.email=test@example.com", .. arguments]) { WorkingDirectory = _root },
        default)).OrThrow();

    private static async Task<RolloutException> FailureAsync<T>(Func<Task<T>> action) =>
        (await Assert.ThrowsAsync<RolloutException>(action))!;
}
