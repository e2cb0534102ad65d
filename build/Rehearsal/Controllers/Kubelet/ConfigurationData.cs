using System.Text;
using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>The contents of a Secret (base64 in <c>data</c>) or ConfigMap (<c>data</c>, <c>binaryData</c>).</summary>
internal static class ConfigurationData
{
    public static IEnumerable<(string Key, byte[] Value)> Entries(JsonObject bag)
    {
        var secret = bag.Text("kind") == "Secret";
        foreach (var (key, value) in bag.At("data") as JsonObject ?? [])
        {
            var text = value.Text() ?? "";
            yield return (key, secret ? Convert.FromBase64String(text) : Encoding.UTF8.GetBytes(text));
        }

        foreach (var (key, value) in bag.At("binaryData") as JsonObject ?? [])
        {
            yield return (key, Convert.FromBase64String(value.Text() ?? ""));
        }
    }

    public static IEnumerable<(string Key, string Value)> Texts(JsonObject bag) =>
        Entries(bag).Select(entry => (entry.Key, Encoding.UTF8.GetString(entry.Value)));

    /// <summary>The value of one key, or null.</summary>
    public static string? Text(JsonObject bag, string key) =>
        Texts(bag).Where(entry => entry.Key == key).Select(entry => entry.Value).FirstOrDefault();
}
