using System.Reflection;
using Cake.Core;
using Cake.Core.Diagnostics;

namespace Cake.Frosting.Internal;

/// <summary>Tells the engine what the classes of a build mean.</summary>
internal sealed class TaskRegistration(ICakeEngine engine, IFrostingContext context, ICakeLog log)
{
    /// <summary>Registers the tasks in their order, but those that ask for another context.</summary>
    /// <exception cref="FrostingException">A task or a dependency is not what it has to be.</exception>
    /// <exception cref="CakeException">Two tasks have the same name.</exception>
    public void Register(IEnumerable<IFrostingTask> tasks)
    {
        foreach (var task in tasks)
        {
            if (ForeignContext(task.GetType()) is { } foreign)
            {
                log.Warning("Task cannot be used since the context isn't convertible to {0}.", foreign.FullName!);
                continue;
            }

            Register(task);
        }
    }

    /// <summary>Registers the ends of the run and of each task, where the build has them.</summary>
    public void Register(
        IFrostingSetup? setup, IFrostingTeardown? teardown, IFrostingTaskSetup? taskSetup, IFrostingTaskTeardown? taskTeardown)
    {
        if (setup is not null)
        {
            engine.RegisterSetupAction(info => setup.Setup(context, info));
        }

        if (teardown is not null)
        {
            engine.RegisterTeardownAction(info => teardown.Teardown(context, info));
        }

        if (taskSetup is not null)
        {
            engine.RegisterTaskSetupAction(info => taskSetup.Setup(context, info));
        }

        if (taskTeardown is not null)
        {
            engine.RegisterTaskTeardownAction(info => taskTeardown.Teardown(context, info));
        }
    }

    private void Register(IFrostingTask task)
    {
        var type = task.GetType();
        var overridden = OverriddenMethods(type);
        var builder = engine.RegisterTask(NameOf(type));
        if (type.GetCustomAttribute<TaskDescriptionAttribute>() is { } description)
        {
            builder.Description(description.Description);
        }

        // Only what is overridden is attached: an engine task without an action counts as delegated, and any error handler
        // swallows errors.
        if (overridden.Contains(nameof(FrostingTask.Run)) || overridden.Contains(nameof(AsyncFrostingTask.RunAsync)))
        {
            builder.Does(_ => task.RunAsync(context));
        }

        if (overridden.Contains(nameof(IFrostingTask.ShouldRun)))
        {
            builder.WithCriteria(_ => task.ShouldRun(context), task.SkippedMessage);
        }

        if (overridden.Contains(nameof(IFrostingTask.OnError)))
        {
            builder.OnError((exception, _) => task.OnError(exception, context));
        }

        if (overridden.Contains(nameof(IFrostingTask.Finally)))
        {
            builder.Finally(_ => task.Finally(context));
        }

        if (type.IsDefined(typeof(ContinueOnErrorAttribute), inherit: false))
        {
            builder.ContinueOnError();
        }

        foreach (var dependency in type.GetCustomAttributes<IsDependentOnAttribute>())
        {
            builder.IsDependentOn(NameOfTask(dependency.Task, "dependency"));
        }

        foreach (var dependee in type.GetCustomAttributes<IsDependeeOfAttribute>())
        {
            builder.IsDependeeOf(NameOfTask(dependee.Task, "reverse dependency"));
        }
    }

    /// <summary>The context a task's direct base asks for, when the build's is none such.</summary>
    private Type? ForeignContext(Type task) =>
        task.BaseType is { } direct
        && IsTaskBase(direct)
        && direct.GetGenericArguments()[0] is var wanted
        && !wanted.IsInstanceOfType(context)
            ? wanted
            : null;

    private static HashSet<string> OverriddenMethods(Type task)
    {
        var declaring = task;
        while (declaring is not null && !IsTaskBase(declaring))
        {
            declaring = declaring.BaseType;
        }

        if (declaring is null)
        {
            throw new FrostingException("This method expects all IFrostingTask to be instances of FrostingTask or AsyncFrostingTask.");
        }

        return
        [
            .. from method in task.GetMethods(BindingFlags.Public | BindingFlags.Instance)
               where method.GetBaseDefinition().DeclaringType == declaring && method.DeclaringType != declaring
               select method.Name,
        ];
    }

    private static bool IsTaskBase(Type type) =>
        type.IsGenericType
        && (type.GetGenericTypeDefinition() == typeof(FrostingTask<>) || type.GetGenericTypeDefinition() == typeof(AsyncFrostingTask<>));

    private static string NameOfTask(Type type, string role) =>
        typeof(IFrostingTask).IsAssignableFrom(type)
            ? NameOf(type)
            : throw new FrostingException($"The {role} '{type.Name}' is not a valid task.");

    private static string NameOf(Type task) => task.GetCustomAttribute<TaskNameAttribute>()?.Name ?? task.Name;
}
