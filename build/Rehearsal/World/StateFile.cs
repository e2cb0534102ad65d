using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>A double's state as one JSON file: readable by its owner only, and never seen half written.</summary>
public static class StateFile
{
    /// <summary>Null when there is no such file.</summary>
    public static JsonNode? Read(string path)
    {
        return File.Exists(path) ? JsonNode.Parse(File.ReadAllBytes(path)) : null;
    }

    public static void Write(string path, JsonNode state)
    {
        WriteText(path, state.ToJsonString());
    }

    /// <summary>As <see cref="Write"/>, for what is no JSON, such as a private key.</summary>
    public static void WriteText(string path, string text)
    {
        var fresh = path + ".new";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using (var writer = new StreamWriter(fresh, options))
        {
            writer.Write(text);
        }

        File.Move(fresh, path, overwrite: true);
    }
}
