namespace Rehearsal.Cluster;

/// <summary>The forms of names, with the sentences the real server refuses others with. Each check returns null or the sentence.</summary>
internal static class Names
{
    private const string SubdomainForm =
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
        + "alphanumeric character "
        + "(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

    private const string LabelForm =
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
        + "alphanumeric character "
        + "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

    private const string Label1035Form =
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with "
        + "an alphanumeric character "
        + "(e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

    private const string QualifiedForm =
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
        + "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

    private const string LabelValueForm =
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        + "alphanumeric character "
        + "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

    public static string? Subdomain(string text) =>
        text.Length > 253 ? "must be no more than 253 characters"
        : text.Split('.').All(part => IsDnsLabel(part)) ? null
        : SubdomainForm;

    public static string? Label(string text) =>
        text.Length > 63 ? "must be no more than 63 characters" : IsDnsLabel(text) ? null : LabelForm;

    public static string? Label1035(string text) =>
        text.Length > 63
            ? "must be no more than 63 characters"
            : IsDnsLabel(text) && char.IsAsciiLetterLower(text[0])
            ? null
            : Label1035Form;

    /// <summary>A name that only has to be one path segment (RBAC).</summary>
    public static string? PathSegment(string text) =>
        text is "." or ".."
            ? $"may not be '{text}'"
            : text.Contains('/', StringComparison.Ordinal)
            ? "may not contain '/'"
            : text.Contains('%', StringComparison.Ordinal)
            ? "may not contain '%'"
            : null;

    /// <summary>A label or annotation key: <c>[prefix/]name</c>.</summary>
    public static string? Qualified(string text)
    {
        var slash = text.IndexOf('/', StringComparison.Ordinal);
        var name = text[(slash + 1)..];
        if (slash == 0)
        {
            return "prefix part must be non-empty";
        }

        if (slash > 0 && Subdomain(text[..slash]) is { } prefix)
        {
            return "prefix part " + prefix;
        }

        return name.Length == 0
            ? "name part must be non-empty"
            : name.Length > 63
            ? "name part must be no more than 63 characters"
            : IsQualifiedName(name)
            ? null
            : QualifiedForm;
    }

    public static string? LabelValue(string text) =>
        text.Length > 63 ? "must be no more than 63 characters" : text.Length == 0 || IsQualifiedName(text) ? null : LabelValueForm;

    /// <summary>A key of a ConfigMap or Secret.</summary>
    public static string? DataKey(string text) =>
        text.Length > 253 ? "must be no more than 253 characters"
        : text is "." or ".." ? $"must not be '{text}'"
        : text.Length > 0 && text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' or '.') ? null
        : "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
            + "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

    private static bool IsDnsLabel(string text) =>
        text.Length > 0
        && text.All(letter => char.IsAsciiLetterLower(letter) || char.IsAsciiDigit(letter) || letter == '-')
        && text[0] != '-'
        && text[^1] != '-';

    private static bool IsQualifiedName(string text) =>
        text.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '-' or '_' or '.')
            && char.IsAsciiLetterOrDigit(text[0])
            && char.IsAsciiLetterOrDigit(text[^1]);
}
