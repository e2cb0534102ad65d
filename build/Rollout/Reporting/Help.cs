using Rollout.Playbook;

namespace Rollout.Reporting;

/// <summary>What a call without a target prints: targets, options, exit codes, examples.</summary>
internal static class Help
{
    public static void Print(RolloutConsole console, IReadOnlyDictionary<string, string> tasks)
    {
        console.Line("Aether Rollout performs the blue/green rollout playbook. Nothing was touched.");
        console.Line();
        console.Line("  ./build.sh --target=NAME [--environment=embedded|kind|staging|production] [--release=TAG] [options]");
        console.Line();
        console.Line("Steps:");
        Print(console, PlaybookOrder.All, tasks);
        console.Line("Stages:");
        string[] stages = [nameof(Prepare), nameof(Deploy), nameof(Switch), nameof(Verify), "Rollout", nameof(Rollback)];
        Print(console, stages, tasks);
        console.Line("Tools:");
        Print(console, [.. tasks.Keys.Except(PlaybookOrder.All).Except(stages).Order(StringComparer.Ordinal)], tasks);
        console.Line("Options:");
        console.Line("  --json, --verify            Status for a machine; Status that re-reads finished steps");
        console.Line("  --fault=NAME[=ARGUMENT]     Rehearse: a drill, which must end as its name wants (README, Drills)");
        console.Line("  --again                     go forward with a release that was rolled back");
        console.Line("  --break-lock=REASON         take the lock from a run that is not known to be dead; the reason is journalled");
        console.Line("  --accept-point-of-no-return go on although the migrations were not additive, so that no rollback leads back");
        console.Line("  --every=N, --point=POINT    Torture: each Nth point of the kill matrix; these points alone, comma separated");
        console.Line("  --seed=N, --rounds=M        Torture: SIGKILL at moments drawn from a seed, until M rounds are over or Ctrl-C");
        console.Line("  --from=PATH                 Judge: the evidence of a watch, a folder or a file");
        console.Line("  --tree, --description, --dryrun, --exclusive, --verbosity=LEVEL, --version, --info   as in every Cake build");
        foreach (var setting in RolloutSettings.All.Where(s => !s.IsSecret))
        {
            console.Line($"  {$"--{setting.Argument}=…",-34} {setting.Meaning}{(setting.Default is null ? string.Empty : $" [{setting.Default}]")}");
        }

        console.Line("Secrets, from the environment (or a file named by NAME_FILE):");
        foreach (var setting in RolloutSettings.All.Where(s => s.IsSecret))
        {
            console.Line($"  {setting.Variable,-34} {setting.Meaning}");
        }

        console.Line("Exit codes:");
        console.Line("  0 done · 1 failed, clients untouched · 2 bad arguments or settings · 3 failed and rolled back · 4 held, a person is needed");
        console.Line("  5 refused by a guard · 130 interrupted, the same command resumes");
        console.Line("Examples:");
        console.Line("  ./build.sh --target=Rehearse");
        console.Line("  ./build.sh --target=Plan --environment=staging --release=v2026.11.1");
        console.Line("  ./build.sh --target=Switch --environment=production --release=v2026.11.1");
    }

    private static void Print(RolloutConsole console, IReadOnlyList<string> names, IReadOnlyDictionary<string, string> tasks)
    {
        foreach (var name in names)
        {
            console.Line($"  {name,-24} {tasks[name]}");
        }
    }
}
