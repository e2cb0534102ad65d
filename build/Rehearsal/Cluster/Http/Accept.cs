using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>In which form an answer is wanted.</summary>
internal enum AnswerForm
{
    Object,
    Table,
    Partial,
}

/// <summary>Chooses the answer's form by the Accept header: the first clause this server can serve. It writes JSON only.</summary>
internal static class Accept
{
    /// <exception cref="ApiException">406 when no clause can be served.</exception>
    public static AnswerForm Form(HttpRequest request)
    {
        var header = request.Headers.Accept.ToString();
        if (header.Length == 0)
        {
            return AnswerForm.Object;
        }

        foreach (var clause in header.Split(','))
        {
            var parts = clause.Split(';', StringSplitOptions.TrimEntries);
            if (parts[0] is not ("application/json" or "*/*" or "application/*"))
            {
                continue;
            }

            string? Parameter(string name) =>
                parts.FirstOrDefault(part => part.StartsWith(name + "=", StringComparison.Ordinal))?[(name.Length + 1)..];
            switch (Parameter("as"))
            {
                case null:
                    return AnswerForm.Object;
                case "Table" when Parameter("v") == "v1":
                    return AnswerForm.Table;
                case "PartialObjectMetadata" or "PartialObjectMetadataList" when Parameter("v") == "v1":
                    return AnswerForm.Partial;
            }
        }

        throw NotAcceptable();
    }

    /// <summary>Whether the client asks for aggregated discovery, version 2.</summary>
    public static bool WantsAggregatedDiscovery(HttpRequest request) =>
        request.Headers.Accept.ToString().Split(',').Any(clause =>
            clause.Contains("g=apidiscovery.k8s.io", StringComparison.Ordinal)
                && clause.Split(';', StringSplitOptions.TrimEntries).Contains("v=v2"));

    public static ApiException NotAcceptable() => new(406, "NotAcceptable", "406: Not Acceptable") { EmptyDetails = true };
}
