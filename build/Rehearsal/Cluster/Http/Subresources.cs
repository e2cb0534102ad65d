using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>The subresources that are neither status nor streams: scale, finalize, binding, eviction.</summary>
internal sealed class Subresources(ObjectStore store, TimeProvider time)
{
    public async Task ScaleAsync(ApiRequest request, string method)
    {
        var current = store.Get(request.Key) ?? throw ApiException.NotFound(request.Type.Group, request.Type.Name, request.Name!);
        if (method == "GET")
        {
            await Answer.JsonAsync(request.Context, 200, ScaleOf(current));
            return;
        }

        var dryRun = request.DryRun(method == "PUT" ? "UpdateOptions" : "PatchOptions");
        Func<JsonObject, JsonObject> change;
        if (method == "PUT")
        {
            var body = await BodyReader.ObjectAsync(request.Context, request.Type, "Scale", "autoscaling/v1");
            change = _ => body;
        }
        else
        {
            var mediaType = request.Context.Request.ContentType?.Split(';')[0].Trim() ?? "";
            var patch = await ResourceWrites.ReadPatchAsync(request, mediaType);
            change = scale => ResourceWrites.Patched(request, scale, mediaType, patch, ApiTypes.Find("Scale"));
        }

        var (stored, _) = store.Write(
            request.Key,
            now =>
            {
                var wanted = change(ScaleOf(now ?? throw ApiException.NotFound(request.Type.Group, request.Type.Name, request.Name!)));
                ResourceWrites.CheckVersion(request.Type, request.Name!, wanted.Child("metadata"), now, replacing: false);
                return Scaled(request, now, wanted);
            },
            dryRun);
        await Answer.JsonAsync(request.Context, 200, ScaleOf(stored));
    }

    public async Task FinalizeAsync(ApiRequest request)
    {
        var body = await BodyReader.ObjectAsync(request.Context, request.Type);
        var stored = store.Update(request.Key, value => value.Child("spec")["finalizers"] = body.At("spec")?["finalizers"]?.DeepClone())
            ?? throw ApiException.NotFound("", "namespaces", request.Name!);
        await Answer.ObjectAsync(request, stored, time.GetUtcNow());
    }

    /// <summary>The scheduler's way to put a pod on a node.</summary>
    public async Task BindAsync(ApiRequest request)
    {
        var body = await BodyReader.ObjectAsync(request.Context, request.Type, "Binding", "v1");
        var node = body.At("target").Text("name");
        _ = store.Update(request.Key, pod => pod.Child("spec")["nodeName"] = node)
            ?? throw ApiException.NotFound("", "pods", request.Name!);
        await Answer.JsonAsync(request.Context, 201, Answer.Success(201));
    }

    /// <summary>A deletion that a PodDisruptionBudget may refuse.</summary>
    public async Task EvictAsync(ApiRequest request)
    {
        var body = await BodyReader.ObjectAsync(request.Context, request.Type, "Eviction", "policy/v1");
        var pod = store.Get(request.Key) ?? throw ApiException.NotFound("", "pods", request.Name!);
        var budget = store.List("policy", "poddisruptionbudgets", request.Namespace)
            .FirstOrDefault(
                item => SelectorText.Of(item.At("spec", "selector")) is { Length: > 0 } text && LabelSelector.Parse(text).Matches(pod));
        if (budget is not null && (budget.At("status").Number("disruptionsAllowed") ?? 0) <= 0)
        {
            var status = budget.At("status");
            throw new ApiException(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
            {
                Causes =
                [
                    new StatusCause(
                        "DisruptionBudget",
                        $"The disruption budget {budget.At("metadata").Text("name")} needs {status.Number("desiredHealthy") ?? 0} "
                        + $"healthy pods and has {status.Number("currentHealthy") ?? 0} currently",
                        ""),
                ],
            };
        }

        store.Delete(
            request.Key,
            new DeleteRequest(
                DeletePropagation.Background,
                (int?)body.At("deleteOptions").Number("gracePeriodSeconds"),
                DryRun: request.DryRun("CreateOptions")));
        await Answer.JsonAsync(request.Context, 201, Answer.Success(201));
    }

    private static JsonObject ScaleOf(JsonObject value)
    {
        var metadata = value.At("metadata");
        var identity = new JsonObject();
        foreach (var name in new[] { "name", "namespace", "uid", "resourceVersion", "creationTimestamp" })
        {
            identity[name] = metadata?[name]?.DeepClone();
        }

        var spec = new JsonObject();
        if (value.At("spec").Number("replicas") is { } replicas and not 0)
        {
            spec["replicas"] = replicas;
        }

        return new JsonObject
        {
            ["kind"] = "Scale",
            ["apiVersion"] = "autoscaling/v1",
            ["metadata"] = identity,
            ["spec"] = spec,
            ["status"] = new JsonObject
            {
                ["replicas"] = value.At("status").Number("replicas") ?? 0,
                ["selector"] = SelectorText.Of(value.At("spec", "selector")),
            },
        };
    }

    private JsonObject Scaled(ApiRequest request, JsonObject now, JsonObject scale)
    {
        var replicas = scale.At("spec")?["replicas"];
        if (replicas is not null && scale.At("spec").Number("replicas") is null)
        {
            throw ApiException.BadRequest(
                "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field "
                + "ScaleSpec.spec.replicas of type int32");
        }

        var count = scale.At("spec").Number("replicas") ?? 0;
        if (count < 0)
        {
            var problems = new Problems();
            problems.Invalid("spec.replicas", count, "must be greater than or equal to 0");
            throw ApiException.Invalid("autoscaling", "Scale", request.Name!, problems.Causes);
        }

        var next = (JsonObject)now.DeepClone();
        next.Child("spec")["replicas"] = count;
        ManagedFields.RecordUpdate(
            request.Type,
            now,
            next,
            ResourceWrites.Manager(request, request.Type),
            ObjectStore.Stamp(time.GetUtcNow()));
        return next;
    }
}
