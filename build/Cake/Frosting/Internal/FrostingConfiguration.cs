using Cake.Core;
using Cake.Core.Configuration;
using Cake.Core.IO;

namespace Cake.Frosting.Internal;

/// <summary>One value of the lowest configuration layer.</summary>
internal sealed record CakeSetting(string Key, string Value);

/// <summary>Where to run unless the command line says otherwise.</summary>
internal sealed record WorkingDirectory(DirectoryPath Path);

/// <summary>
/// The engine's layers, lowest first: the build's settings, the environment, cake.config in the working directory, the arguments.
/// Made after the working directory is set, because the file is read at construction.
/// </summary>
internal sealed class FrostingConfiguration : ICakeConfiguration
{
    private readonly ICakeConfiguration _layers;

    public FrostingConfiguration(
        IEnumerable<CakeSetting> settings, ICakeArguments arguments, IFileSystem fileSystem, ICakeEnvironment environment)
    {
        var lowest = settings.Select(setting => KeyValuePair.Create(setting.Key, setting.Value));
        var highest = arguments.GetArguments()
            .Where(argument => argument.Value.FirstOrDefault() is not null)
            .ToDictionary(argument => argument.Key, argument => argument.Value.First(), StringComparer.OrdinalIgnoreCase);
        _layers = new CakeConfigurationProvider(fileSystem, environment)
            .CreateConfiguration(environment.WorkingDirectory, LastOfEach(lowest), highest);
    }

    public string GetValue(string key) => _layers.GetValue(key);

    private static Dictionary<string, string> LastOfEach(IEnumerable<KeyValuePair<string, string>> values)
    {
        var last = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (key, value) in values)
        {
            last[key] = value;
        }

        return last;
    }
}
