using System.Text.RegularExpressions;
using Rollout.Tests.Support;

namespace Rollout.Tests;

/// <summary>The design's table of who may use whom, read from the sources.</summary>
public sealed partial class ArchitectureTests
{
    private static readonly string[] Modules = ["Journal", "Cluster", "Platform", "Database", "Traffic", "Monitoring", "Supply", "Archive", "Commands", "Investigation"];

    [Test]
    public void Steps_use_the_contexts_modules_and_neither_HTTP_nor_processes_nor_SQL() =>
        Forbidden("build/Rollout/Playbook", @"System\.Net\.Http|HttpClient|System\.Diagnostics\.Process|ProcessStartInfo|Npgsql|Cake\.Core\.IO");

    [TestCaseSource(nameof(Modules))]
    public void A_module_knows_neither_context_nor_tasks_nor_settings(string module) =>
        Forbidden($"build/Rollout/{module}", @"\bRolloutContext\b|\bRolloutRun\b|\bRolloutSettings\b|Rollout\.Playbook|Cake\.Frosting");

    [Test]
    public void Rehearsal_and_Rollout_share_no_code()
    {
        Forbidden("build/Rehearsal", @"\busing Rollout\b|Include=""[./]*Rollout/");
        Forbidden("build/Rollout", @"\busing Rehearsal\b|Include=""[./]*Rehearsal/");
    }

    [Test]
    public void The_Cake_layer_uses_the_engine_and_nothing_of_ours() =>
        Forbidden("build/Cake", @"\busing (Rollout|Rehearsal)\b|Include=""[./]*(Rollout|Rehearsal)/");

    [Test]
    public void No_task_skips_swallows_or_continues() =>
        Forbidden("build/Rollout", @"override bool ShouldRun|override void OnError|\[ContinueOnError\]");

    private static void Forbidden(string folder, string pattern)
    {
        var found = Directory.EnumerateFiles(Repository.PathOf(folder.Split('/')), "*.*", SearchOption.AllDirectories)
            .Where(f => f.EndsWith(".cs", StringComparison.Ordinal) || f.EndsWith(".csproj", StringComparison.Ordinal))
            .Where(f => !BuildOutput().IsMatch(f))
            .SelectMany(f => File.ReadLines(f).Where(l => !l.TrimStart().StartsWith("//", StringComparison.Ordinal) && Regex.IsMatch(l, pattern))
                .Select(l => $"{Path.GetRelativePath(Repository.Root, f)}: {l.Trim()}"));
        Assert.That(found, Is.Empty);
    }

    [GeneratedRegex(@"[\\/](bin|obj)[\\/]")]
    private static partial Regex BuildOutput();
}
