using System.Collections;
using System.Reflection;
using System.Runtime.InteropServices;
using Cake.Core;
using Cake.Core.IO;
using Cake.Frosting;
using Microsoft.Extensions.DependencyInjection;
using Rollout.Commands;
using Rollout.Playbook;
using Rollout.Reporting;
using Rollout.Tools;

namespace Rollout;

/// <summary>The composition root: arguments and settings are checked whole, then the engine runs, then the exit code is decided.</summary>
public static class Program
{
    public static int Main(string[] args)
    {
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        Console.SetOut(new SteadyWriter(Console.Out));
        Console.SetError(new SteadyWriter(Console.Error));
        var isTerminal = !Console.IsOutputRedirected;
        if (!isTerminal)
        {
            // The engine writes colours into a pipe whenever TERM names a terminal.
            Environment.SetEnvironmentVariable("NO_COLOR", "1");
        }

        var variables = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(v => (string)v.Key, v => (string?)v.Value);
        return Run(args, variables, Directory.GetCurrentDirectory(), new RolloutConsole(Console.Out, Console.Error, variables, isTerminal), stop.Token);

        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }
    }

    /// <summary>One call of the program.</summary>
    /// <param name="root">The folder of <c>cake.config</c> and <c>environments/</c>.</param>
    public static int Run(string[] args, IReadOnlyDictionary<string, string?> variables, string root, RolloutConsole console, CancellationToken cancellationToken)
    {
        try
        {
            var arguments = CommandLineArguments.Parse(args);
            if (arguments.Modes.Overlaps(["tree", "description", "version", "info"]))
            {
                return Host(args, null, RolloutRequest.None, console, variables, new RunOutcome(), cancellationToken) == 0 ? 0 : (int)ExitCode.BadSettings;
            }

            if (arguments.Targets.Count == 0 || arguments.Modes.Contains("help"))
            {
                Help.Print(console, Tasks());
                return (int)ExitCode.Done;
            }

            CheckTargets(arguments.Targets);
            var settings = RolloutSettings.Resolve(
                arguments.Options.Where(o => o.Key is not ("verbosity" or "working")).ToDictionary(o => o.Key, o => o.Value), variables, root);
            var request = RolloutRequest.From(arguments);
            using var trace = RolloutTrace.From(variables, TimeProvider.System, console.Warning);
            var outcome = new RunOutcome { Trace = trace };
            try
            {
                var code = Host(args, settings, request, console, variables, outcome, cancellationToken);
                code = code == 0 ? (int)ExitCode.Done : Ended(settings, request, console, variables, outcome, cancellationToken);
                if (trace.End(((ExitCode)code).ToString(), code) is { } traced)
                {
                    console.Line(traced);
                }

                if (outcome.Closing is { } closing)
                {
                    console.Line(closing);
                }

                return code;
            }
            finally
            {
                outcome.Client?.DisposeAsync().AsTask().GetAwaiter().GetResult();
            }
        }
        catch (RolloutException exception)
        {
            console.Failure(exception.Message, exception.Hint);
            return (int)exception.ExitCode;
        }
    }

    /// <summary>Every task of the program by name, with its description.</summary>
    internal static IReadOnlyDictionary<string, string> Tasks() => typeof(Program).Assembly.GetExportedTypes()
        .Where(t => t.IsAssignableTo(typeof(IFrostingTask)) && !t.IsAbstract)
        .ToDictionary(
            t => t.GetCustomAttribute<TaskNameAttribute>()?.Name ?? t.Name,
            t => t.GetCustomAttribute<TaskDescriptionAttribute>()?.Description ?? string.Empty);

    private static void CheckTargets(IReadOnlyList<string> targets)
    {
        var known = Tasks().Keys.ToList();
        foreach (var target in targets.Where(t => !known.Contains(t, StringComparer.OrdinalIgnoreCase)))
        {
            var nearest = RolloutSettings.Nearest(target, known);
            throw new RolloutException(
                $"There is no target '{target}'{(nearest is null ? string.Empty : $"; did you mean {nearest}")}. Nothing was touched.",
                $"The targets are: {string.Join(", ", known.Order(StringComparer.Ordinal))}.",
                ExitCode.BadSettings);
        }
    }

    private static int Host(
        string[] args,
        RolloutSettings? settings,
        RolloutRequest request,
        RolloutConsole console,
        IReadOnlyDictionary<string, string?> variables,
        RunOutcome outcome,
        CancellationToken cancellationToken)
    {
        var host = new CakeHost()
            .UseContext<RolloutContext>()
            .UseLifetime<RolloutLifetime>()
            .UseTaskLifetime<StepLifetime>();
        if (Assembly.GetEntryAssembly() != typeof(Program).Assembly)
        {
            host.AddAssembly(typeof(Program).Assembly);
        }

        host.ConfigureServices(services =>
        {
            var commands = new CommandRunner(console.Command);
            services.AddSingleton(settings ?? RolloutSettings.Resolve(new Dictionary<string, string?>(), new Dictionary<string, string?>(), AppContext.BaseDirectory));
            services.AddSingleton(request);
            services.AddSingleton(console);
            services.AddSingleton(outcome);
            services.AddSingleton(commands);
            services.AddSingleton(new ToolBox(commands, variables, console.Progress));
            services.AddSingleton(TimeProvider.System);
            services.AddSingleton(new RunCancellation(cancellationToken));
            services.AddSingleton<IProcessRunner, EchoingProcessRunner>();
            if (!request.Targets.Any(string.IsNullOrEmpty))
            {
                services.AddSingleton<ICakeReportPrinter, StepReportPrinter>();
            }
        });
        return host.Run(args);
    }

    // The engine has printed what failed; what is left is the advice, the rollback where the policy says so, and the exit code.
    private static int Ended(
        RolloutSettings settings,
        RolloutRequest request,
        RolloutConsole console,
        IReadOnlyDictionary<string, string?> variables,
        RunOutcome outcome,
        CancellationToken cancellationToken)
    {
        if (outcome.Failure is RolloutException { Hint: { } hint })
        {
            console.Failure(hint, null);
        }
        else if (outcome.Failure is not (null or RolloutException or CakeException))
        {
            console.Failure($"This is a bug of the suite, not of the rollout: {outcome.Failure}", "Please report it with the lines above.");
        }

        switch (outcome.Aftermath)
        {
            case Aftermath.RollBack:
                return RollBack(settings, request, console, variables, outcome, cancellationToken);
            case Aftermath.Hold when DrillOf(request) is { Ends: DrillEnd.Held, Begins: var step } drill && step == outcome.FailedStep:
                console.Line($"The drill {drill.Name} ended as it must: the rollout is held, and no slot trades. Now decide as at night: {settings.CommandFor(nameof(Rollback))}, or {settings.CommandFor(nameof(Switch))}");
                return (int)ExitCode.Done;
            case Aftermath.Hold:
                if (outcome.FailedStep is { } failed && !PlaybookOrder.IsBackward(failed) && outcome.Progress?.TouchesClients == true)
                {
                    console.Failure(
                        PlaybookOrder.StageOf(failed) == nameof(Verify)
                            ? "Held: the candidate serves and trades; its verification failed."
                            : "Held: everything is kept as it is, and clients were touched. It may be that no slot trades: look at Status.",
                        $"Decide: roll back with {settings.CommandFor(nameof(Rollback))}, or run the same command again.");
                }

                return (int)ExitCode.Held;
            default:
                if (outcome.Progress?.FrozenSince is { } since)
                {
                    console.Warning(
                        $"NO SLOT TRADES since {since:HH:mm:ss} UTC, until {settings.CommandFor(nameof(Switch))} or {settings.CommandFor(nameof(Rollback))} has ended");
                }

                return (int)outcome.Code;
        }
    }

    private static Drill? DrillOf(RolloutRequest request) =>
        request.Fault is { } fault && request.Targets.Contains(nameof(Rehearse), StringComparer.OrdinalIgnoreCase) ? Drill.Of(fault) : null;

    private static int RollBack(
        RolloutSettings settings,
        RolloutRequest request,
        RolloutConsole console,
        IReadOnlyDictionary<string, string?> variables,
        RunOutcome outcome,
        CancellationToken cancellationToken)
    {
        console.Line();
        console.Warning(outcome.MustFinishRollback ? "an earlier run was rolling back and ended: finishing that" : "clients were touched: rolling back");
        var back = new RunOutcome { Client = outcome.Client, Trace = outcome.Trace };
        var arguments = settings.Values.Where(v => v.Source.StartsWith("argument", StringComparison.Ordinal)).Select(v => $"--{v.Setting.Argument}={v.Value}")
            .Prepend($"--target={nameof(Rollback)}").ToArray();
        var rolledBack = Host(arguments, settings, request with { Targets = [nameof(Rollback)], IsAutomatic = true, BreakLock = null }, console, variables, back, cancellationToken) == 0;
        if (!rolledBack && back.Failure is RolloutException { Hint: { } backHint })
        {
            console.Failure(backHint, null);
        }

        if (rolledBack && DrillOf(request) is { } drill)
        {
            if (drill.Ends != DrillEnd.RolledBack)
            {
                console.Failure($"The drill {drill.Name} was rolled back; it must {drill.MustEnd}.", "What was seen is in the release's evidence, with the judge's reasons.");
                return (int)ExitCode.RolledBack;
            }

            if (back.ClientView is { Problems: { Count: > 0 } problems } && !RehearsalClient.MayHarm(drill.Fault))
            {
                console.Failure(
                    $"The drill {drill.Name} was rolled back, but a client saw what it must not see: {string.Join("; ", problems)}.",
                    "That fault is none of the stack's own, so clients should not have noticed it; client.csv in the release's folder tells each second.");
                return (int)ExitCode.RolledBack;
            }

            console.Line($"The drill {drill.Name} ended as it must: the rollout failed and was rolled back; live serves and trades.");
            return (int)ExitCode.Done;
        }

        if (!rolledBack && back.Code == ExitCode.Interrupted)
        {
            console.Failure(
                "The rollback was interrupted.", $"The same command goes on with it, and so does {settings.CommandFor(nameof(Rollback))}.");
            return (int)ExitCode.Interrupted;
        }

        console.Failure(
            rolledBack ? "The rollout failed and was rolled back: live serves and trades again." : "The rollback is incomplete: a person is needed.",
            rolledBack ? null : $"Run {settings.CommandFor(nameof(Rollback))} again, or look at {settings.CommandFor(nameof(Tools.Status))}.");
        return (int)(rolledBack ? ExitCode.RolledBack : ExitCode.Held);
    }
}
