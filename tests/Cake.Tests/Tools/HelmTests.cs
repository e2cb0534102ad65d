using Cake.Core;
using Cake.Core.IO;
using Cake.Helm;
using Cake.Helm.Lint;
using Cake.Helm.List;
using Cake.Helm.Package;
using Cake.Tests.Support;

namespace Cake.Tests.Tools;

/// <summary>The lines of the three commands of Cake.Helm.</summary>
[Platform(Include = "Unix")]
public sealed class HelmTests
{
    private FakeTool _helm = null!;
    private List<string> _printed = null!;

    [SetUp]
    public void MakeTool()
    {
        _helm = new FakeTool("helm");
        _printed = [];
    }

    [TearDown]
    public void Remove() => _helm.Dispose();

    [Test]
    public void Lint_repeats_its_lists_and_ends_with_the_path_kept_whole()
    {
        var settings = _helm.Printing(_printed, new HelmLintSettings
        {
            KubeContext = "rehearsal",
            Strict = true,
            Values = ["a.yaml", "b c.yaml"],
            Set = ["x=1", """y={"k": "v"}"""],
            Namespace = "ns",
        });
        Run(context => context.HelmLint(settings, "./my chart"));

        Assert.That(_printed, Is.EqualTo(new[]
        {
            "[lint]", "[--kube-context=rehearsal]", "[--namespace=ns]", "[--set=x=1]", """[--set=y={"k": "v"}]""", "[--strict]",
            "[--values=a.yaml]", "[--values=b c.yaml]", "[./my chart]",
        }));
    }

    [Test]
    public void List_emits_its_switches_and_false_is_said()
    {
        var settings = _helm.Printing(_printed, new HelmListSettings { Debug = false, Max = 5, Namespace = "ns", Short = true });
        Run(context => context.HelmList(settings));

        Assert.That(_printed, Is.EqualTo(new[] { "[list]", "[--debug=false]", "[--max=5]", "[--namespace=ns]", "[--short]" }));
    }

    [Test]
    public void Package_emits_its_switches_and_the_path()
    {
        var settings = _helm.Printing(_printed, new HelmPackageSettings { Destination = "out dir", Version = "1.2.3" });
        Run(context => context.HelmPackage(settings, "chart"));

        Assert.That(_printed, Is.EqualTo(new[] { "[package]", "[--destination=out dir]", "[--version=1.2.3]", "[chart]" }));
    }

    [Test]
    public void An_exit_code_is_an_exception_with_that_code_unless_the_build_handles_it()
    {
        var settings = _helm.Printing(_printed, new HelmListSettings());
        settings.EnvironmentVariables = new Dictionary<string, string> { ["EXIT"] = "7" };
        var failure = FakeTool.Fails(context => context.HelmList(settings));

        Assert.That(failure.Message, Is.EqualTo("Helm: Process returned an error (exit code 7)."));
        Assert.That(failure.ExitCode, Is.EqualTo(7));
        settings.HandleExitCode = code => code == 7;
        Run(context => context.HelmList(settings));
    }

    [TestCase(typeof(HelmLintSettings), "lint")]
    [TestCase(typeof(HelmListSettings), "list")]
    [TestCase(typeof(HelmPackageSettings), "package")]
    public async Task The_real_helm_knows_every_switch(Type settings, string command)
    {
        Assert.That(RealTool.Unknown(await RealTool.HelpAsync("helm", command), Switches.Of(settings)), Is.Empty);
    }

    [Test]
    public async Task The_real_helm_lints_and_packs_a_chart_in_a_folder_with_a_blank()
    {
        await RealTool.HelpAsync("helm", "lint");
        using var directory = new TemporaryDirectory();
        var chart = Directory.CreateDirectory(System.IO.Path.Combine(directory.Path, "my chart")).FullName;
        File.WriteAllText(
            System.IO.Path.Combine(chart, "Chart.yaml"),
            "apiVersion: v2\nname: sample\nversion: 0.1.0\nicon: https://example.com/icon.png\n");
        Directory.CreateDirectory(System.IO.Path.Combine(chart, "templates"));
        var quiet = new List<string>();

        Run(context => context.HelmLint(Quiet(quiet, new HelmLintSettings { Strict = true }), chart));
        Run(context => context.HelmPackage(Quiet(quiet, new HelmPackageSettings { Destination = directory.Path }), chart));

        Assert.That(File.Exists(System.IO.Path.Combine(directory.Path, "sample-0.1.0.tgz")), Is.True, string.Join('\n', quiet));
    }

    private static T Quiet<T>(List<string> output, T settings)
        where T : GlobalHelmSettings
    {
        settings.SetupProcessSettings = process => process.RedirectStandardOutput = true;
        settings.PostAction = process => output.AddRange(process.GetStandardOutput());
        return settings;
    }

    private static void Run(Action<ICakeContext> call) => FakeTool.Run(context =>
    {
        call(context);
        return true;
    });
}
