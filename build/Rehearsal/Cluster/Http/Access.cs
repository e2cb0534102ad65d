using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>Who a request speaks for.</summary>
internal sealed record Caller(string User, IReadOnlyList<string> Groups)
{
    public static readonly Caller Administrator = new("rehearsal-admin", ["system:masters", "system:authenticated"]);

    public bool IsAdministrator => Groups.Contains("system:masters");
}

/// <summary>What a caller wants to do, in RBAC's words; <paramref name="Path"/> for what is no resource.</summary>
internal sealed record Attempt(
    string Verb,
    string Group,
    string Resource,
    string? Subresource,
    string? Namespace,
    string? Name,
    string? Path = null);

/// <summary>
/// Decides by the Roles and bindings in the store. The token's holder is an administrator and may do everything; RBAC matters for those
/// it impersonates (<c>--as</c>).
/// </summary>
internal sealed class Access(ObjectStore store)
{
    private const string Group = "rbac.authorization.k8s.io";

    public static Caller CallerOf(HttpRequest request)
    {
        var user = request.Headers["Impersonate-User"].ToString();
        if (user.Length == 0)
        {
            return Caller.Administrator;
        }

        var groups = request.Headers["Impersonate-Group"].OfType<string>().ToList();
        const string Account = "system:serviceaccount:";
        if (user.StartsWith(Account, StringComparison.Ordinal))
        {
            groups.Add("system:serviceaccounts");
            groups.Add("system:serviceaccounts:" + user[Account.Length..].Split(':')[0]);
        }

        groups.Add("system:authenticated");
        return new Caller(user, groups);
    }

    /// <exception cref="ApiException">403 in the real server's words.</exception>
    public void Require(Caller caller, Attempt attempt)
    {
        if (Allows(caller, attempt))
        {
            return;
        }

        var resource = attempt.Subresource is null ? attempt.Resource : attempt.Resource + "/" + attempt.Subresource;
        var qualified = ApiException.Qualified(attempt.Group, attempt.Resource);
        var subject = attempt.Name is null ? qualified : $"{qualified} \"{attempt.Name}\"";
        var where = attempt.Namespace is null ? "at the cluster scope" : $"in the namespace \"{attempt.Namespace}\"";
        throw new ApiException(
            403,
            "Forbidden",
            $"{subject} is forbidden: User \"{caller.User}\" cannot {attempt.Verb} resource \"{resource}\" in API group "
            + $"\"{attempt.Group}\" {where}")
        {
            Name = attempt.Name,
            Group = attempt.Group,
            Kind = attempt.Resource,
        };
    }

    public bool Allows(Caller caller, Attempt attempt)
    {
        if (caller.IsAdministrator)
        {
            return true;
        }

        return RulesOf(caller, attempt.Namespace).Any(rule => Covers(rule, attempt));
    }

    /// <summary>All rules that hold for a caller in a namespace (and everywhere).</summary>
    public IEnumerable<JsonObject> RulesOf(Caller caller, string? @namespace)
    {
        var everywhere = store.List(Group, "clusterrolebindings").Where(binding => Binds(binding, caller));
        var here = @namespace is null ? [] : store.List(Group, "rolebindings", @namespace).Where(binding => Binds(binding, caller));
        return everywhere.Concat(here).SelectMany(RulesOf);
    }

    private static bool Binds(JsonObject binding, Caller caller) => binding.Objects("subjects").Any(subject => subject.Text("kind") switch
    {
        "User" => subject.Text("name") == caller.User,
        "Group" => caller.Groups.Contains(subject.Text("name") ?? ""),
        "ServiceAccount" => caller.User == AccountOf(subject, binding),
        _ => false,
    });

    private static string AccountOf(JsonObject subject, JsonObject binding) =>
        $"system:serviceaccount:{subject.Text("namespace") ?? binding.At("metadata").Text("namespace")}:{subject.Text("name")}";

    private static bool Covers(JsonObject rule, Attempt attempt)
    {
        if (!Has(rule, "verbs", attempt.Verb))
        {
            return false;
        }

        if (attempt.Path is { } path)
        {
            return rule.List("nonResourceURLs")
                .Select(url => url!.GetValue<string>())
                .Any(url => url == path || (url.EndsWith('*') && path.StartsWith(url[..^1], StringComparison.Ordinal)));
        }

        var resource = attempt.Subresource is null ? attempt.Resource : attempt.Resource + "/" + attempt.Subresource;
        var names = rule.List("resourceNames");
        return Has(rule, "apiGroups", attempt.Group)
            && (Has(rule, "resources", resource) || (attempt.Subresource is not null && Has(rule, "resources", "*/" + attempt.Subresource)))
            && (names.Count == 0 || (attempt.Name is not null && names.Any(name => name!.GetValue<string>() == attempt.Name)));
    }

    private static bool Has(JsonObject rule, string member, string value) =>
        rule.List(member).Select(item => item!.GetValue<string>()).Any(item => item == "*" || item == value);

    private IEnumerable<JsonObject> RulesOf(JsonObject binding)
    {
        var reference = binding.At("roleRef");
        var name = reference.Text("name") ?? "";
        var key = reference.Text("kind") == "Role"
            ? new ObjectKey(Group, "roles", binding.At("metadata").Text("namespace"), name)
            : new ObjectKey(Group, "clusterroles", null, name);
        return store.Get(key).Objects("rules");
    }
}
