using System.Reflection;
using Cake.Core;
using Cake.Core.IO;
using Cake.Core.Tooling;
using Cake.Kubectl;
using Cake.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace Cake.Tests.Tools;

/// <summary>The lines the kubectl calls emit, what they return, and how they fail.</summary>
[Platform(Include = "Unix")]
public sealed class KubectlTests
{
    private static readonly Dictionary<string, string> Commands = new()
    {
        ["Annotate"] = "annotate",
        ["Apply"] = "apply",
        ["AuthCanI"] = "auth can-i",
        ["Cp"] = "cp",
        ["CreateNamespace"] = "create namespace",
        ["Delete"] = "delete",
        ["Describe"] = "describe",
        ["Exec"] = "exec",
        ["Get"] = "get",
        ["Label"] = "label",
        ["Logs"] = "logs",
        ["Patch"] = "patch",
        ["Proxy"] = "proxy",
        ["RolloutRestart"] = "rollout restart",
        ["RolloutStatus"] = "rollout status",
        ["RolloutUndo"] = "rollout undo",
        ["Scale"] = "scale",
        ["SetEnv"] = "set env",
        ["SetImage"] = "set image",
        ["Version"] = "version",
        ["Wait"] = "wait",
    };

    private FakeTool _kubectl = null!;

    private static IEnumerable<string> Names => Commands.Keys;

    [SetUp]
    public void MakeTool() => _kubectl = new FakeTool("kubectl");

    [TearDown]
    public void Remove() => _kubectl.Dispose();

    [Test]
    public void Every_call_has_its_pair_and_its_settings()
    {
        var methods = typeof(KubectlAliases).GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly);

        Assert.That(
            methods.Select(method => method.Name),
            Is.EquivalentTo(Names.SelectMany(name => new[] { "Kubectl" + name, "Kubectl" + name + "WithResult" })));
    }

    [TestCaseSource(nameof(Names))]
    public void A_call_starts_with_its_command_and_both_halves_take_null_for_no_settings(string name)
    {
        var runner = new RecordingProcessRunner();
        var run = new Build()
            .Services(services => services.AddSingleton<IProcessRunner>(runner).AddSingleton<IToolLocator>(new Located(_kubectl.Path)))
            .Doing(context =>
            {
                Assert.That(Call("Kubectl" + name, context, null), Is.Null);
                Assert.That(Call("Kubectl" + name + "WithResult", context, null), Is.EqualTo(new[] { "recorded" }));
            })
            .Run();

        Assert.That(run.ExitCode, Is.Zero, run.Said);
        Assert.That(runner.Lines, Is.EqualTo(Enumerable.Repeat($"{_kubectl.Path} {Commands[name]}", 2)));
        Assert.That(runner.Settings.Select(settings => settings.RedirectStandardOutput), Is.EqualTo(new[] { false, true }));
    }

    [TestCaseSource(nameof(Names))]
    public async Task The_real_kubectl_knows_every_command_and_switch(string name)
    {
        var settings = typeof(KubectlAliases).Assembly.GetType($"Cake.Kubectl.Kubectl{name}Settings", throwOnError: true)!;
        var help = await RealTool.HelpAsync("kubectl", Commands[name]);

        Assert.That(RealTool.Unknown(help, Switches.Of(settings)), Is.Empty);
    }

    [Test]
    public void Settings_become_switches_with_their_values_in_alphabetical_order()
    {
        var settings = new KubectlApplySettings { Filename = "a.yaml", ServerSide = true, DryRun = "server", GracePeriod = 5, All = true };

        Assert.That(
            Run(settings),
            Is.EqualTo(new[]
            {
                "[apply]", "[--all]", "[--dry-run=server]", "[--filename=a.yaml]", "[--grace-period=5]", "[--server-side]",
            }));
    }

    [Test]
    public void False_is_said_and_not_the_bare_switch()
    {
        Assert.That(Run(new KubectlApplySettings { Force = false }), Is.EqualTo(new[] { "[apply]", "[--force=false]" }));
    }

    [TestCase("""{"spec":{"replicas": 3}}""")]
    [TestCase("a b")]
    [TestCase("back\\slash\\")]
    [TestCase("quoted \"twice\"")]
    [TestCase("it's $HOME `id` *")]
    [TestCase("")]
    [TestCase("grüße")]
    public void A_value_arrives_as_it_is(string value)
    {
        var settings = _kubectl.With(new KubectlPatchSettings { Patch = value });
        var lines = FakeTool.Run(context => context.KubectlPatchWithResult(settings)).ToArray();

        Assert.That(lines, Is.EqualTo(new[] { "[patch]", $"[--patch={value}]" }));
    }

    [Test]
    public void Names_and_global_switches_follow_through_the_customization()
    {
        var settings = new KubectlGetSettings
        {
            ArgumentCustomization = arguments => arguments.Append("pods").Append("-n").AppendQuoted("a b"),
        };

        Assert.That(
            FakeTool.Run(context => context.KubectlGetWithResult(_kubectl.With(settings))),
            Is.EqualTo(new[] { "[get]", "[pods]", "[-n]", "[a b]" }));
    }

    [Test]
    public void What_says_how_to_start_the_program_is_no_switch()
    {
        var settings = new KubectlApplySettings
        {
            ToolTimeout = TimeSpan.FromMinutes(1),
            NoWorkingDirectory = true,
            EnvironmentVariables = new Dictionary<string, string> { ["SHOW"] = "seen" },
        };

        Assert.That(Run(settings), Is.EqualTo(new[] { "[apply]", "environment seen" }));
    }

    [Test]
    public void With_a_time_limit_the_result_is_whole_too()
    {
        // The engine's wait for a limited time does not wait for the output; ten runs lose some of it unless somebody does.
        for (var run = 0; run < 10; run++)
        {
            Assert.That(Run(new KubectlApplySettings { ToolTimeout = TimeSpan.FromMinutes(1) }), Is.EqualTo(new[] { "[apply]" }));
        }
    }

    [Test]
    public void The_call_without_a_result_emits_the_same_line()
    {
        var printed = new List<string>();
        var settings = _kubectl.Printing(printed, new KubectlScaleSettings { Replicas = "3", CurrentReplicas = 2 });
        FakeTool.Run(context =>
        {
            context.KubectlScale(settings);
            return true;
        });

        Assert.That(printed, Is.EqualTo(new[] { "[scale]", "[--current-replicas=2]", "[--replicas=3]" }));
    }

    [Test]
    public void An_exit_code_is_an_exception_with_that_code()
    {
        var settings = Exiting(3);

        foreach (var failure in new[]
        {
            FakeTool.Fails(context => context.KubectlVersion(settings)),
            FakeTool.Fails(context => context.KubectlVersionWithResult(settings)),
        })
        {
            Assert.That(failure.Message, Is.EqualTo("Kubectl: Process returned an error (exit code 3)."));
            Assert.That(failure.ExitCode, Is.EqualTo(3));
        }
    }

    [Test]
    public void An_exit_code_the_build_handles_is_none_and_the_output_is_returned()
    {
        var settings = Exiting(1);
        settings.HandleExitCode = code => code == 1;

        Assert.That(FakeTool.Run(context => context.KubectlVersionWithResult(settings)), Is.EqualTo(new[] { "[version]" }));
    }

    [Test]
    public void A_program_that_is_nowhere_is_told()
    {
        var failure = default(CakeException);
        new Build()
            .Services(services => services.AddSingleton<IToolLocator>(new Located(null)))
            .Doing(context => failure = Assert.Throws<CakeException>(() => context.KubectlVersion(null!)))
            .Run();

        Assert.That(failure!.Message, Is.EqualTo("Kubectl: Could not locate executable."));
        Assert.That(failure.ExitCode, Is.EqualTo(1));
    }

    private KubectlVersionSettings Exiting(int code) => _kubectl.With(new KubectlVersionSettings
    {
        EnvironmentVariables = new Dictionary<string, string> { ["EXIT"] = $"{code}" },
    });

    private string[] Run(KubectlApplySettings settings) =>
        [.. FakeTool.Run(context => context.KubectlApplyWithResult(_kubectl.With(settings)))];

    private static object? Call(string method, ICakeContext context, object? settings) =>
        typeof(KubectlAliases).GetMethod(method)!.Invoke(null, [context, settings]);

    private sealed class Located(FilePath? path) : IToolLocator
    {
        public void RegisterFile(FilePath path) => throw new NotSupportedException();

        public FilePath Resolve(string tool) => path!;

        public FilePath Resolve(IEnumerable<string> toolExeNames) => path!;
    }
}
