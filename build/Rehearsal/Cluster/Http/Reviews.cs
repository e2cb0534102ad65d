using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>Access reviews and <c>auth whoami</c>: created, answered, never stored.</summary>
internal sealed class Reviews(Access access)
{
    public async Task AnswerAsync(ApiRequest request, Caller caller)
    {
        if (!HttpMethods.IsPost(request.Context.Request.Method))
        {
            throw ApiRouter.MethodNotAllowed();
        }

        var review = await BodyReader.ObjectAsync(request.Context, request.Type);
        review.Default("metadata", () => new JsonObject());
        switch (request.Type.Kind)
        {
            case "SelfSubjectReview":
                review["status"] = new JsonObject
                {
                    ["userInfo"] = new JsonObject
                    {
                        ["username"] = caller.User,
                        ["groups"] = new JsonArray(caller.Groups.Select(group => (JsonNode)group).ToArray()),
                    },
                };
                break;
            case "SelfSubjectRulesReview":
                review["status"] = Rules(caller, review.At("spec").Text("namespace"));
                break;
            case "SelfSubjectAccessReview":
                Decide(review, caller);
                break;
            default:
                var spec = review.At("spec");
                Decide(
                    review,
                    new Caller(spec.Text("user") ?? "", spec.List("groups").Select(group => group!.GetValue<string>()).ToList()));
                break;
        }

        await Answer.JsonAsync(request.Context, 201, review);
    }

    private void Decide(JsonObject review, Caller caller)
    {
        var spec = review.At("spec");
        if ((spec.At("resourceAttributes") is null) == (spec.At("nonResourceAttributes") is null))
        {
            var problems = new Problems();
            problems.InvalidAs(
                "spec.resourceAttributes",
                "\"null\"",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified");
            throw ApiException.Invalid("authorization.k8s.io", "", "", problems.Causes);
        }

        Attempt attempt;
        if (spec.At("resourceAttributes") is { } wanted)
        {
            attempt = new Attempt(
                wanted.Text("verb") ?? "",
                wanted.Text("group") ?? "",
                wanted.Text("resource") ?? "",
                wanted.Text("subresource") is { Length: > 0 } subresource ? subresource : null,
                wanted.Text("namespace") is { Length: > 0 } ns ? ns : null,
                wanted.Text("name") is { Length: > 0 } name ? name : null);
        }
        else
        {
            var path = spec.At("nonResourceAttributes");
            attempt = new Attempt(path.Text("verb") ?? "", "", "", null, null, null, path.Text("path") ?? "");
        }

        review["status"] = new JsonObject { ["allowed"] = access.Allows(caller, attempt) };
    }

    private JsonObject Rules(Caller caller, string? @namespace)
    {
        var resources = new JsonArray();
        var paths = new JsonArray();
        if (caller.IsAdministrator)
        {
            resources.Add(
                (JsonNode)new JsonObject
                {
                    ["verbs"] = new JsonArray("*"),
                    ["apiGroups"] = new JsonArray("*"),
                    ["resources"] = new JsonArray("*"),
                });
            paths.Add((JsonNode)new JsonObject { ["verbs"] = new JsonArray("*"), ["nonResourceURLs"] = new JsonArray("*") });
        }

        foreach (var rule in access.RulesOf(caller, @namespace))
        {
            (rule.List("nonResourceURLs").Count > 0 ? paths : resources).Add(rule.DeepClone());
        }

        return new JsonObject { ["resourceRules"] = resources, ["nonResourceRules"] = paths, ["incomplete"] = false };
    }
}
