using System.Reflection;
using System.Text.RegularExpressions;
using Cake.Core.Tooling;

namespace Cake.Tests.Support;

/// <summary>The switches a settings class stands for, worked out apart from the code under test.</summary>
internal static class Switches
{
    public static IEnumerable<string> Of(Type settings) =>
        from property in settings.GetProperties(BindingFlags.Public | BindingFlags.Instance)
        where !property.DeclaringType!.IsAssignableFrom(typeof(ToolSettings))
        select "--" + Regex.Replace(property.Name, "(?<!^)([A-Z])", "-$1").ToLowerInvariant();
}
