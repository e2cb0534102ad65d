namespace Rehearsal.Aether.Jobs;

/// <summary>Files of the platform's checkout that every image carries.</summary>
internal static class ImageFiles
{
    public static string Read(string path)
    {
        using var stream = typeof(ImageFiles).Assembly.GetManifestResourceStream(path)
            ?? throw new FileNotFoundException($"the image has no {path}");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    public static IEnumerable<string> List(string directory, string extension) => typeof(ImageFiles).Assembly.GetManifestResourceNames()
        .Where(name => name.StartsWith(directory + "/", StringComparison.Ordinal) && name.EndsWith(extension, StringComparison.Ordinal))
        .Order(StringComparer.Ordinal);
}
