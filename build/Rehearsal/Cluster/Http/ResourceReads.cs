using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>GET of one object and of lists.</summary>
internal sealed class ResourceReads(ObjectStore store, TimeProvider time)
{
    private static readonly TimeSpan FutureVersionPatience = TimeSpan.FromSeconds(3);

    public async Task GetAsync(ApiRequest request)
    {
        await WaitForVersionAsync(request, request.ResourceVersion());
        var found = store.Get(request.Key) ?? throw ApiException.NotFound(request.Type.Group, request.Type.Name, request.Name!);
        await Answer.ObjectAsync(request, found, time.GetUtcNow());
    }

    public async Task ListAsync(ApiRequest request)
    {
        var version = request.ResourceVersion();
        CheckVersionMatch(request, version);
        var labels = LabelSelector.Parse(request["labelSelector"] ?? "");
        var fields = FieldSelector.Parse(request.Type, request["fieldSelector"] ?? "");
        var limit = request.Number("limit") ?? 0;
        var start = request["continue"] is { } token ? ContinueToken.Parse(token, store.HistoryFloor) : null;
        await WaitForVersionAsync(request, version);
        var (all, revision) = store.Snapshot(request.Type.Group, request.Type.Name, request.Namespace);
        var matching = all.Where(item => labels.Matches(item.Object) && fields.Matches(item.Object));
        if (start is not null)
        {
            matching = matching.Where(start.IsBefore);
            revision = start.Revision;
        }

        var items = matching.ToList();
        var metadata = new JsonObject { ["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture) };
        if (limit > 0 && items.Count > limit)
        {
            var rest = items.Count - (int)limit;
            items.RemoveRange((int)limit, rest);
            metadata["continue"] = new ContinueToken(revision, items[^1].Key).ToString();
            if (labels.IsEmpty && fields.IsEmpty)
            {
                metadata["remainingItemCount"] = rest;
            }
        }

        await Answer.ListAsync(request, items, metadata, time.GetUtcNow());
    }

    private void CheckVersionMatch(ApiRequest request, long? version)
    {
        if (request["resourceVersionMatch"] is not { } match)
        {
            return;
        }

        if (version is null)
        {
            throw ListOptionsRefused("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }

        if (match == "Exact" && version < store.Revision)
        {
            // Old states are not kept; the real server has them for five minutes.
            throw new ApiException(410, "Expired", "The resourceVersion for the provided list is too old.");
        }
    }

    public static ApiException ListOptionsRefused(string field, string why)
    {
        var problems = new Problems();
        problems.Forbidden(field, why);
        return ApiException.Invalid("meta.k8s.io", "ListOptions", "", problems.Causes);
    }

    private async Task WaitForVersionAsync(ApiRequest request, long? version)
    {
        if (version is not { } wanted || wanted <= store.Revision)
        {
            return;
        }

        await Task.Delay(FutureVersionPatience, time, request.Aborted);
        if (wanted > store.Revision)
        {
            throw new ApiException(504, "Timeout", $"Timeout: Too large resource version: {wanted}, current: {store.Revision}")
            {
                Causes = [new StatusCause("ResourceVersionTooLarge", "Too large resource version", "")],
                RetryAfterSeconds = 1,
            };
        }
    }

    /// <summary>Where the next page begins: after this object, at that revision.</summary>
    private sealed record ContinueToken(long Revision, ObjectKey Last)
    {
        /// <exception cref="ApiException">400 when it is no token of this server, 410 when its revision is too old.</exception>
        public static ContinueToken Parse(string token, long floor)
        {
            ContinueToken result;
            try
            {
                var text = JsonNode.Parse(Convert.FromBase64String(token))!.AsObject();
                result = new ContinueToken(text["rv"]!.GetValue<long>(), new ObjectKey("", "", text.Text("namespace"), text.Text("name")!));
            }
            catch (Exception wrong) when (wrong is FormatException or JsonException or InvalidOperationException or NullReferenceException)
            {
                throw ApiException.BadRequest("invalid continue token: continue key is not valid: the token was not made by this server");
            }

            return result.Revision >= floor
                ? result
                : throw new ApiException(
                    410,
                    "Expired",
                    "The provided continue parameter is too old to display a consistent list result. You must start a new list without "
                    + "the continue parameter.");
        }

        public bool IsBefore(StoredObject item)
        {
            var order = string.CompareOrdinal(item.Key.Namespace ?? "", Last.Namespace ?? "");
            return order > 0 || (order == 0 && string.CompareOrdinal(item.Key.Name, Last.Name) > 0);
        }

        public override string ToString() => Convert.ToBase64String(Encoding.UTF8.GetBytes(
            new JsonObject { ["rv"] = Revision, ["namespace"] = Last.Namespace ?? "", ["name"] = Last.Name }.ToJsonString()));
    }
}
