using Cake.Core;
using Cake.HelmCommands;
using Cake.Tests.Support;

namespace Cake.Tests.Tools;

/// <summary>The lines of the helm commands that are an addin of our own, what they return, and how they fail.</summary>
[Platform(Include = "Unix")]
public sealed class HelmCommandTests
{
    private FakeTool _helm = null!;

    [SetUp]
    public void MakeTool() => _helm = new FakeTool("helm");

    [TearDown]
    public void Remove() => _helm.Dispose();

    [Test]
    public void Upgrade_emits_release_chart_and_every_switch_it_is_given()
    {
        var settings = _helm.With(new HelmUpgradeSettings
        {
            KubeContext = "rehearsal",
            Kubeconfig = "/tmp/kube config",
            Namespace = "aether-green",
            Values = ["values.yaml", "values-green.yaml"],
            Set = ["global.krakenSecrets.enabled=false", "list={a,b}"],
            SetString = ["""image.tag="20261100" """],
            Install = true,
            CreateNamespace = false,
            ResetValues = true,
            Wait = "watcher",
            Timeout = TimeSpan.FromMinutes(10),
            RollbackOnFailure = true,
            HistoryMax = 0,
            Description = "rollout v2026.11.1",
            Labels = new Dictionary<string, string> { ["aether.io/applied"] = "0a1b.3", ["stage"] = "Deploy" },
            Output = "json",
        });

        Assert.That(FakeTool.Run(context => context.HelmUpgradeWithResult("aether", "./my chart", settings)), Is.EqualTo(new[]
        {
            "[upgrade]", "[aether]", "[./my chart]",
            "[--kube-context=rehearsal]", "[--kubeconfig=/tmp/kube config]", "[--namespace=aether-green]",
            "[--values=values.yaml]", "[--values=values-green.yaml]",
            "[--set=global.krakenSecrets.enabled=false]", "[--set=list={a,b}]", """[--set-string=image.tag="20261100" ]""",
            "[--install]", "[--create-namespace=false]", "[--reset-values]", "[--wait=watcher]", "[--timeout=600s]",
            "[--rollback-on-failure]", "[--history-max=0]", "[--description=rollout v2026.11.1]",
            "[--labels=aether.io/applied=0a1b.3]", "[--labels=stage=Deploy]", "[--output=json]",
        }));
    }

    [Test]
    public void The_other_commands_emit_what_they_act_on_and_their_switches()
    {
        var uninstall = With<HelmUninstallSettings>(s => s.IgnoreNotFound = true);
        var rollback = With<HelmRollbackSettings>(s => s.Wait = "legacy");
        var status = With<HelmStatusSettings>(s => s.Output = "json");
        var history = With<HelmHistorySettings>(s => s.Max = 1);
        var values = With<HelmGetValuesSettings>(s => s.All = true);
        var manifest = With<HelmGetManifestSettings>(s => s.Revision = 2);
        var template = With<HelmTemplateSettings>(s => s.ShowOnly = ["templates/a.yaml"]);
        var dependency = With<HelmDependencyBuildSettings>(s => s.SkipRefresh = true);
        var version = With<HelmVersionSettings>(s => s.Template = "{{.Version}}");

        Assert.That(Line(c => c.HelmUninstallWithResult("aether", uninstall)), Is.EqualTo("uninstall aether --ignore-not-found"));
        Assert.That(Line(c => c.HelmRollbackWithResult("aether", 3, rollback)), Is.EqualTo("rollback aether 3 --wait=legacy"));
        Assert.That(Line(c => c.HelmRollbackWithResult("aether", null, rollback)), Is.EqualTo("rollback aether --wait=legacy"));
        Assert.That(Line(c => c.HelmStatusWithResult("aether", status)), Is.EqualTo("status aether --output=json"));
        Assert.That(Line(c => c.HelmHistoryWithResult("aether", history)), Is.EqualTo("history aether --max=1"));
        Assert.That(Line(c => c.HelmGetValuesWithResult("aether", values)), Is.EqualTo("get values aether --all"));
        Assert.That(Line(c => c.HelmGetManifestWithResult("aether", manifest)), Is.EqualTo("get manifest aether --revision=2"));
        Assert.That(
            Line(c => c.HelmTemplateWithResult("aether", "chart", template)),
            Is.EqualTo("template aether chart --show-only=templates/a.yaml"));
        Assert.That(Line(c => c.HelmDependencyBuildWithResult("chart", dependency)), Is.EqualTo("dependency build chart --skip-refresh"));
        Assert.That(Line(c => c.HelmVersionWithResult(version)), Is.EqualTo("version --template={{.Version}}"));
    }

    [Test]
    public void The_calls_without_a_result_emit_the_same_lines()
    {
        var printed = new List<string>();
        FakeTool.Run(context =>
        {
            context.HelmUpgrade("aether", "chart", _helm.Printing(printed, new HelmUpgradeSettings()));
            context.HelmUninstall("aether", _helm.Printing(printed, new HelmUninstallSettings()));
            context.HelmRollback("aether", 1, _helm.Printing(printed, new HelmRollbackSettings()));
            context.HelmStatus("aether", _helm.Printing(printed, new HelmStatusSettings()));
            context.HelmHistory("aether", _helm.Printing(printed, new HelmHistorySettings()));
            context.HelmGetValues("aether", _helm.Printing(printed, new HelmGetValuesSettings()));
            context.HelmGetManifest("aether", _helm.Printing(printed, new HelmGetManifestSettings()));
            context.HelmTemplate("aether", "chart", _helm.Printing(printed, new HelmTemplateSettings()));
            context.HelmDependencyBuild("chart", _helm.Printing(printed, new HelmDependencyBuildSettings()));
            context.HelmVersion(_helm.Printing(printed, new HelmVersionSettings()));
            return true;
        });

        Assert.That(
            Words(printed),
            Is.EqualTo("upgrade aether chart uninstall aether rollback aether 1 status aether history aether get values aether "
                + "get manifest aether template aether chart dependency build chart version"));
    }

    [TestCase("plain-1.2_3/4:5,6@7%8+9=.")]
    [TestCase("")]
    [TestCase("a b")]
    [TestCase("\\")]
    [TestCase("\\\\ \\")]
    [TestCase("say \"a\\\\\"b\\\"")]
    [TestCase("'$HOME' `id` * ; & | < > # ~ !")]
    [TestCase("line\u00e9")]
    public void An_argument_arrives_as_it_is(string argument)
    {
        var settings = With<HelmTemplateSettings>(s => s.Set = [argument]);

        Assert.That(
            FakeTool.Run(context => context.HelmTemplateWithResult(argument, argument, settings)),
            Is.EqualTo(new[] { "[template]", $"[{argument}]", $"[{argument}]", $"[--set={argument}]" }));
    }

    [Test]
    public void A_secret_travels_in_the_environment()
    {
        var settings = With<HelmStatusSettings>(s => s.EnvironmentVariables = new Dictionary<string, string> { ["SHOW"] = "token" });

        Assert.That(
            FakeTool.Run(context => context.HelmStatusWithResult("aether", settings)),
            Is.EqualTo(new[] { "[status]", "[aether]", "environment token" }));
    }

    [Test]
    public void An_exit_code_is_an_exception_with_that_code_unless_the_build_handles_it()
    {
        var settings = With<HelmStatusSettings>(s => s.EnvironmentVariables = new Dictionary<string, string> { ["EXIT"] = "1" });

        var failure = FakeTool.Fails(context => context.HelmStatusWithResult("aether", settings));

        Assert.That(failure.Message, Is.EqualTo("Helm: Process returned an error (exit code 1)."));
        Assert.That(failure.ExitCode, Is.EqualTo(1));
        settings.HandleExitCode = code => code == 1;
        Assert.That(FakeTool.Run(context => context.HelmStatusWithResult("aether", settings)), Has.Count.EqualTo(2));
    }

    [TestCase(typeof(HelmUpgradeSettings), "upgrade")]
    [TestCase(typeof(HelmUninstallSettings), "uninstall")]
    [TestCase(typeof(HelmRollbackSettings), "rollback")]
    [TestCase(typeof(HelmStatusSettings), "status")]
    [TestCase(typeof(HelmHistorySettings), "history")]
    [TestCase(typeof(HelmGetValuesSettings), "get values")]
    [TestCase(typeof(HelmGetManifestSettings), "get manifest")]
    [TestCase(typeof(HelmTemplateSettings), "template")]
    [TestCase(typeof(HelmDependencyBuildSettings), "dependency build")]
    [TestCase(typeof(HelmVersionSettings), "version")]
    public async Task The_real_helm_knows_every_switch(Type settings, string command)
    {
        Assert.That(RealTool.Unknown(await RealTool.HelpAsync("helm", command), Switches.Of(settings)), Is.Empty);
    }

    [Test]
    public async Task The_real_helm_renders_a_chart_with_values_that_need_quoting()
    {
        await RealTool.HelpAsync("helm", "template");
        using var directory = new TemporaryDirectory();
        Directory.CreateDirectory(Path.Combine(directory.Path, "templates"));
        directory.File("Chart.yaml", "apiVersion: v2\nname: sample\nversion: 0.1.0\n");
        directory.File(
            Path.Combine("templates", "map.yaml"),
            "kind: ConfigMap\ndata:\n  text: {{ .Values.text | quote }}\n  tag: {{ .Values.tag | quote }}\n");

        var lines = FakeTool.Run(context => context.HelmTemplateWithResult("r", directory.Path, new HelmTemplateSettings
        {
            Set = ["""text=a "b" c\\d"""],
            SetString = ["tag=20261100"],
        }));

        Assert.That(lines, Has.Member("""  text: "a \"b\" c\\d" """.TrimEnd()).And.Member("  tag: \"20261100\""), string.Join('\n', lines));
    }

    private T With<T>(Action<T>? change = null)
        where T : HelmSettings, new()
    {
        var settings = _helm.With(new T());
        change?.Invoke(settings);
        return settings;
    }

    private static string Line(Func<ICakeContext, IEnumerable<string>> call) => Words(FakeTool.Run(call));

    private static string Words(IEnumerable<string> lines) => string.Join(' ', lines.Select(line => line[1..^1]));
}
