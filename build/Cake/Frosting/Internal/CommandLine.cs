using System.ComponentModel;
using Cake.Cli;
using Cake.Core.Diagnostics;
using Cake.Core.IO;
using Spectre.Console.Cli;

namespace Cake.Frosting.Internal;

/// <summary>Cake's own options; whatever else is on the command line becomes a script argument.</summary>
internal sealed class CommandLineSettings : CommandSettings
{
    // Not a Verbosity?, because a parse error would then speak of a Nullable`1.
    private const Verbosity NotGiven = (Verbosity)(-1);

    /// <summary>Null where the command line says nothing, so that the configuration may.</summary>
    public Verbosity? Verbosity => GivenVerbosity == NotGiven ? null : GivenVerbosity;

    [CommandOption("-t|--target|--Target <TARGET>")]
    [DefaultValue("Default")]
    [Description("Target task to invoke; may be repeated.")]
    public string[] Targets { get; set; } = [];

    [CommandOption("-w|--working <DIRECTORY>")]
    [TypeConverter(typeof(Cli.DirectoryPathConverter))]
    [Description("Sets the working directory.")]
    public DirectoryPath? WorkingDirectory { get; set; }

    [CommandOption("-v|--verbosity <VERBOSITY>")]
    [TypeConverter(typeof(VerbosityConverter))]
    [Description("Specifies the amount of information to be displayed\n(Quiet, Minimal, Normal, Verbose, Diagnostic).")]
    public Verbosity GivenVerbosity { get; set; } = NotGiven;

    [CommandOption("--description|--descriptions|--showdescription|--showdescriptions")]
    [Description("Shows the task descriptions.")]
    public bool Description { get; set; }

    [CommandOption("--tree|--showtree")]
    [Description("Shows the task dependency tree.")]
    public bool Tree { get; set; }

    [CommandOption("--dryrun|--noop|--whatif")]
    [Description("Performs a dry run.")]
    public bool DryRun { get; set; }

    [CommandOption("-e|--exclusive")]
    [Description("Executes the target task without any dependencies.")]
    public bool Exclusive { get; set; }

    [CommandOption("--version|--ver")]
    [Description("Displays version information.")]
    public bool Version { get; set; }

    [CommandOption("--info")]
    [Description("Displays additional information about the build.")]
    public bool Info { get; set; }
}

/// <summary>Parses the command line; help and parse errors are the parsing library's affair and never start a run.</summary>
internal static class CommandLine
{
    /// <returns>What <paramref name="run"/> returns, 0 for help, -1 for a parse error.</returns>
    public static int Run(IEnumerable<string> args, Func<CommandLineSettings, IRemainingArguments, int> run)
    {
        var registrar = new TypeRegistrar();
        registrar.RegisterInstance(typeof(Func<CommandLineSettings, IRemainingArguments, int>), run);

        var app = new CommandApp<RunCommand>(registrar);
        app.Configure(configuration =>
        {
            configuration.AddExample([]);
            configuration.AddExample("--verbosity", "quiet");
            configuration.AddExample("--tree");
        });
        return app.Run(args);
    }

    private sealed class RunCommand(Func<CommandLineSettings, IRemainingArguments, int> run) : Command<CommandLineSettings>
    {
        public override int Execute(CommandContext context, CommandLineSettings settings, CancellationToken cancellationToken) =>
            run(settings, context.Remaining);
    }
}
