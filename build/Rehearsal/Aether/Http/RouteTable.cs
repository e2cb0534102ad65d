using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Aether.Http;

/// <summary>The paths of one service: dispatch, and the OpenAPI document that describes them.</summary>
internal sealed class RouteTable
{
    private readonly List<Route> _routes = [];

    public void Get(string template, Func<Call, Task<Answer>> handler, bool documented = true) =>
        _routes.Add(new Route("GET", Split(template), template, null, handler, documented));

    public void Get(string template, Func<Call, Answer> handler, bool documented = true) =>
        Get(template, call => Task.FromResult(handler(call)), documented);

    /// <param name="body">Read and checked before the handler runs; null when the call has no body.</param>
    public void Post(string template, BodySchema? body, Func<Call, Task<Answer>> handler, bool documented = true) =>
        _routes.Add(new Route("POST", Split(template), template, body, handler, documented));

    /// <exception cref="Refusal">404, 405, 422 or whatever the handler refuses with.</exception>
    public async Task<Answer> InvokeAsync(HttpContext context)
    {
        var segments = Split(context.Request.Path.Value ?? "/");
        var pathKnown = false;
        foreach (var route in _routes)
        {
            if (Match(route.Segments, segments) is not { } values)
            {
                continue;
            }

            pathKnown = true;
            if (!HttpMethods.Equals(route.Method, context.Request.Method))
            {
                continue;
            }

            var call = new Call(context, values);
            if (route.Body is not null)
            {
                await call.ReadBodyAsync(route.Body);
            }

            return await route.Handler(call);
        }

        throw pathKnown ? new Refusal(405, "Method Not Allowed") : new Refusal(404, "Not Found");
    }

    public JsonObject Describe(string title, string version)
    {
        var paths = new JsonObject();
        var schemas = new JsonObject();
        foreach (var route in _routes.Where(route => route.Documented))
        {
            var words = route.Segments.Select(segment => segment.Trim('{', '}')).Prepend(route.Method.ToLowerInvariant());
            var operation = new JsonObject
            {
                ["operationId"] = string.Join('_', words),
                ["responses"] = new JsonObject { ["200"] = new JsonObject { ["description"] = "Successful Response" } },
            };
            var parameters = new JsonArray();
            foreach (var segment in route.Segments.Where(segment => segment.StartsWith('{')))
            {
                parameters.Add(new JsonObject
                {
                    ["name"] = segment.Trim('{', '}'),
                    ["in"] = "path",
                    ["required"] = true,
                    ["schema"] = new JsonObject { ["type"] = "string" },
                });
            }

            if (parameters.Count > 0)
            {
                operation["parameters"] = parameters;
            }

            if (route.Body is { } body)
            {
                schemas[body.Name] = body.ToJson();
                var schema = new JsonObject { ["$ref"] = $"#/components/schemas/{body.Name}" };
                operation["requestBody"] = new JsonObject
                {
                    ["required"] = true,
                    ["content"] = new JsonObject { ["application/json"] = new JsonObject { ["schema"] = schema } },
                };
            }

            var item = paths[route.Template] as JsonObject ?? [];
            item[route.Method.ToLowerInvariant()] = operation;
            paths[route.Template] = item;
        }

        var document = new JsonObject
        {
            ["openapi"] = "3.1.0",
            ["info"] = new JsonObject { ["title"] = title, ["version"] = version },
            ["paths"] = paths,
        };
        if (schemas.Count > 0)
        {
            document["components"] = new JsonObject { ["schemas"] = schemas };
        }

        return document;
    }

    private static string[] Split(string path) => path.Split('/', StringSplitOptions.RemoveEmptyEntries);

    private static Dictionary<string, string>? Match(string[] template, string[] segments)
    {
        if (template.Length != segments.Length)
        {
            return null;
        }

        var values = new Dictionary<string, string>();
        for (var i = 0; i < template.Length; i++)
        {
            if (template[i].StartsWith('{'))
            {
                values[template[i].Trim('{', '}')] = segments[i];
            }
            else if (!string.Equals(template[i], segments[i], StringComparison.Ordinal))
            {
                return null;
            }
        }

        return values;
    }

    private sealed record Route(
        string Method, string[] Segments, string Template, BodySchema? Body, Func<Call, Task<Answer>> Handler, bool Documented);
}
