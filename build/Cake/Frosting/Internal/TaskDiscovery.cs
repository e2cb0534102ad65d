using System.Reflection;

namespace Cake.Frosting.Internal;

/// <summary>Finds the tasks of a build.</summary>
internal static class TaskDiscovery
{
    /// <summary>The exported task classes, assembly by assembly; a null is an entry assembly that native code has not got.</summary>
    public static IEnumerable<Type> In(IEnumerable<Assembly?> assemblies) =>
        from assembly in assemblies
        where assembly is not null
        from type in assembly.GetExportedTypes()
        where type is { IsClass: true, IsAbstract: false } && typeof(IFrostingTask).IsAssignableFrom(type)
        select type;
}
