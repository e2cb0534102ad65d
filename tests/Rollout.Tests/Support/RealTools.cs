using System.Collections;
using Rollout.Commands;

namespace Rollout.Tests.Support;

/// <summary>kubectl and helm, found as the suite finds them; a test is ignored where there are none.</summary>
internal static class RealTools
{
    public static Task<string> KubectlAsync() => FindAsync(tools => tools.KubectlAsync(default));

    public static Task<string> HelmAsync() => FindAsync(tools => tools.HelmAsync(default));

    private static async Task<string> FindAsync(Func<ToolBox, Task<string>> find)
    {
        var variables = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>().ToDictionary(v => (string)v.Key, v => (string?)v.Value);
        using var tools = new ToolBox(new CommandRunner(_ => { }), variables, new Reports());
        try
        {
            return await find(tools);
        }
        catch (RolloutException exception)
        {
            Assert.Ignore(exception.Message);
            throw;
        }
    }
}
