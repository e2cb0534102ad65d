using System.Text.RegularExpressions;

namespace Rehearsal.Tests.Platform;

/// <summary>
/// What the chart renders to, by kind and name. Read as text: the chart's output is regular, and its raw lines are what is promised.
/// </summary>
internal sealed partial class RenderedStack
{
    private readonly List<(string Kind, string Name, string Text)> _objects = [];

    private RenderedStack(string manifests)
    {
        foreach (var text in Separator().Split(manifests))
        {
            if (Kind().Match(text) is { Success: true } kind)
            {
                _objects.Add((kind.Groups[1].Value, Name().Match(text).Groups[1].Value, text));
            }
        }
    }

    /// <summary>Renders as the rehearsal does; without a slot with the chart's own values alone.</summary>
    public static async Task<RenderedStack> OfAsync(string? slot, params string[] more)
    {
        var ran = await TemplateAsync(slot, more);
        Assert.That(ran.ExitCode, Is.Zero, ran.Error);
        return new RenderedStack(ran.Output);
    }

    public static Task<Ran> TemplateAsync(string? slot, params string[] more)
    {
        string[] overlays = slot is null
            ? []
            : ["-n", $"aether-{slot}", "-f", Overlay("rehearsal"), "-f", Overlay(slot)];
        return Checkout.RunAsync(Tools.Find("helm"), ["template", "aether", Checkout.Chart, .. overlays, .. more]);
    }

    public IReadOnlyList<string> Names(string kind) =>
        [.. _objects.Where(o => o.Kind == kind).Select(o => o.Name).Order(StringComparer.Ordinal)];

    public string Text(string kind, string name)
    {
        var found = _objects.Where(o => o.Kind == kind && o.Name == name).ToList();
        Assert.That(found, Has.Count.EqualTo(1), $"{kind} {name}; there are: {string.Join(", ", Names(kind))}");
        return found[0].Text;
    }

    /// <summary>The hosts that Ingresses answer, sorted.</summary>
    public IReadOnlyList<string> Hosts => [.. _objects.Where(o => o.Kind == "Ingress")
        .SelectMany(o => Host().Matches(o.Text)).Select(m => m.Groups[1].Value).Order(StringComparer.Ordinal)];

    /// <summary>Environment variable names of a Deployment's container, in order, repeats included.</summary>
    public IReadOnlyList<string> Environment(string deployment) =>
        [.. Variable().Matches(Text("Deployment", deployment)).Select(m => m.Groups[1].Value)];

    private static string Overlay(string name) => Checkout.File($"deploy/environments/values-{name}.yaml");

    [GeneratedRegex(@"^---$", RegexOptions.Multiline)]
    private static partial Regex Separator();

    [GeneratedRegex(@"^kind: (\w+)$", RegexOptions.Multiline)]
    private static partial Regex Kind();

    [GeneratedRegex(@"^  name: (\S+)$", RegexOptions.Multiline)]
    private static partial Regex Name();

    [GeneratedRegex(@"^    - host: (\S+)$", RegexOptions.Multiline)]
    private static partial Regex Host();

    [GeneratedRegex(@"^            - name: ([A-Z_]\S*)$", RegexOptions.Multiline)]
    private static partial Regex Variable();
}
