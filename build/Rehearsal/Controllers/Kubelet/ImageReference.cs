using System.Security.Cryptography;
using System.Text;

namespace Rehearsal.Controllers;

/// <summary>What an image reference says about the image's identity.</summary>
internal static class ImageReference
{
    /// <summary>
    /// <c>REPOSITORY@sha256:…</c>, as <c>containerStatuses[].imageID</c>: the digest of the reference where it has one, else one that is
    /// always the same for the same reference.
    /// </summary>
    public static string Identity(string image)
    {
        var at = image.IndexOf('@', StringComparison.Ordinal);
        var name = at < 0 ? image : image[..at];
        var digest = at < 0 ? "sha256:" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(image))) : image[(at + 1)..];
        var colon = name.LastIndexOf(':');
        var repository = colon > name.LastIndexOf('/') ? name[..colon] : name;
        return $"{repository}@{digest}";
    }
}
