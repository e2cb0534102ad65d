using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>POST, PUT, PATCH and DELETE of objects and their status.</summary>
internal sealed class ResourceWrites(ObjectStore store, TimeProvider time)
{
    // Kinds whose update has to say which version it replaces.
    private static readonly string[] NeedsVersion = ["Lease", "Service"];

    private static readonly string[] Undeletable = ["default", "kube-system", "kube-public"];

    // Kinds that answer a completed deletion with the object instead of a Status.
    private static readonly string[] AnswersObject =
    [
        "Pod",
        "ServiceAccount",
        "ResourceQuota",
        "PersistentVolumeClaim",
        "PersistentVolume",
    ];

    public async Task CreateAsync(ApiRequest request)
    {
        var type = request.Type;
        var dryRun = request.DryRun("CreateOptions");
        var value = await BodyReader.ObjectAsync(request.Context, type);
        BodyReader.Validate(request, value);
        var metadata = value.Child("metadata");
        if (metadata.Text("resourceVersion") is { Length: > 0 })
        {
            throw new ApiException(500, null, "resourceVersion should not be set on objects to be created");
        }

        Settle(request, metadata, null);
        if (type.Kind == "Pod" && PodAdmission.Refusal(store, value) is { } refusal)
        {
            throw refusal;
        }

        if (type.HasStatus)
        {
            value.Remove("status");
        }

        if (metadata.Text("name") is not { Length: > 0 } && metadata.Text("generateName") is { Length: > 0 } prefix)
        {
            metadata["name"] = prefix + NameSuffix.Next();
        }

        Complete(type, value, null);
        ManagedFields.RecordUpdate(type, null, value, Manager(request, type), Now());
        var stored = store.Create(type, value, dryRun);
        if (dryRun)
        {
            stored = WithoutVersion(stored);
        }

        await Answer.ObjectAsync(request, stored, time.GetUtcNow(), 201);
    }

    public async Task ReplaceAsync(ApiRequest request)
    {
        var type = request.Type;
        var dryRun = request.DryRun("UpdateOptions");
        var value = await BodyReader.ObjectAsync(request.Context, type);
        BodyReader.Validate(request, value);
        var metadata = value.Child("metadata");
        Settle(request, metadata, request.Name);
        var (stored, _) = store.Write(
            request.Key,
            current =>
            {
                CheckUid(request, metadata, current);
                CheckVersion(type, request.Name!, metadata, Existing(request, current), replacing: true);
                return Finish(request, value, current!);
            },
            dryRun);
        await Answer.ObjectAsync(request, stored, time.GetUtcNow());
    }

    public async Task PatchAsync(ApiRequest request)
    {
        var dryRun = request.DryRun("PatchOptions");
        var mediaType = request.Context.Request.ContentType?.Split(';')[0].Trim() ?? "";
        if (mediaType is "application/apply-patch+yaml")
        {
            await ApplyAsync(request, dryRun);
            return;
        }

        var patch = await ReadPatchAsync(request, mediaType);
        if (request["force"] is not null)
        {
            var problems = new Problems();
            problems.Forbidden("force", "may not be specified for non-apply patch");
            throw ApiException.Invalid("meta.k8s.io", "PatchOptions", "", problems.Causes);
        }

        var (stored, _) = store.Write(
            request.Key,
            current =>
            {
                var next = Patched(request, (JsonObject)Existing(request, current).DeepClone(), mediaType, patch);
                if (next.Text("kind") != request.Type.Kind || next.Text("apiVersion") != request.Type.ApiVersion)
                {
                    throw PatchRefused(next, BodyReader.NoConversion(next.Text("kind") ?? "", request.Type.Kind, request.Type.ApiVersion));
                }

                var unknown = new List<string>();
                try
                {
                    ObjectShape.Normalize(request.Type, next, unknown);
                }
                catch (ShapeException wrong)
                {
                    throw PatchRefused(patch, wrong.Message);
                }

                BodyReader.Report(request, unknown);
                var metadata = next.Child("metadata");
                if (metadata.Text("name") is { } name && name != request.Name)
                {
                    throw WrongName(name, request.Name!);
                }

                CheckVersion(request.Type, request.Name!, metadata, current!, replacing: false);
                return Finish(request, next, current!);
            },
            dryRun);
        await Answer.ObjectAsync(request, stored, time.GetUtcNow());
    }

    public async Task DeleteAsync(ApiRequest request)
    {
        if (request.Type.Kind == "Namespace" && Undeletable.Contains(request.Name))
        {
            throw ApiException.Forbidden("", "namespaces", request.Name!, "this namespace may not be deleted");
        }

        var asked = await DeleteRequestAsync(request);
        var outcome = store.Delete(request.Key, asked);
        var answer = outcome.Gone && !AnswersObject.Contains(request.Type.Kind)
            ? Answer.Deleted(request.Type, outcome.Object)
            : outcome.Object;
        await Answer.JsonAsync(request.Context, 200, answer);
    }

    public async Task DeleteCollectionAsync(ApiRequest request)
    {
        var labels = LabelSelector.Parse(request["labelSelector"] ?? "");
        var fields = FieldSelector.Parse(request.Type, request["fieldSelector"] ?? "");
        var asked = await DeleteRequestAsync(request);
        var (all, revision) = store.Snapshot(request.Type.Group, request.Type.Name, request.Namespace);
        var chosen = all.Where(item => labels.Matches(item.Object) && fields.Matches(item.Object)).ToList();
        foreach (var item in chosen)
        {
            try
            {
                store.Delete(item.Key, asked);
            }
            catch (ApiException gone) when (gone.Code == 404)
            {
                // Somebody else was faster, which is what was wanted.
            }
        }

        await Answer.ListAsync(
            request,
            chosen,
            new JsonObject { ["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture) },
            time.GetUtcNow());
    }

    /// <summary>The manager a request writes as: its <c>fieldManager</c> parameter, else the first part of its User-Agent.</summary>
    public static FieldManager Manager(ApiRequest request, ResourceType type)
    {
        var agent = request.Context.Request.Headers.UserAgent.ToString();
        var name = request["fieldManager"] ?? (agent.Length == 0 ? "unknown" : agent.Split('/', ' ')[0]);
        return new FieldManager(name, false, type.ApiVersion, request.Subresource ?? "");
    }

    /// <summary>Compares the version and uid that a write names with those of the stored object.</summary>
    /// <param name="replacing">A PUT: some kinds then demand a version.</param>
    public static void CheckVersion(ResourceType type, string name, JsonObject metadata, JsonObject current, bool replacing)
    {
        var stored = current.At("metadata");
        var sent = metadata.Text("resourceVersion") ?? "";
        if (sent is "" or "0")
        {
            if (replacing && NeedsVersion.Contains(type.Kind))
            {
                var lease = type.Kind == "Lease";
                var problems = new Problems();
                problems.InvalidAs("metadata.resourceVersion", lease ? "0x0" : "\"\"", "must be specified for an update");
                throw ApiException.Invalid(type.Group, lease ? type.Name : type.Kind, name, problems.Causes);
            }
        }
        else if (!long.TryParse(sent, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            throw new ApiException(500, null, $"strconv.ParseUint: parsing \"{sent}\": invalid syntax");
        }
        else if (sent != stored.Text("resourceVersion"))
        {
            throw ApiException.Modified(type.Group, type.Name, name);
        }
    }

    /// <summary>A uid in a PUT's body is a precondition, even where the object is gone.</summary>
    private static void CheckUid(ApiRequest request, JsonObject metadata, JsonObject? current)
    {
        var stored = current.At("metadata").Text("uid");
        if (metadata.Text("uid") is { Length: > 0 } uid && uid != stored)
        {
            var (type, place) = (request.Type, request.Namespace is null ? "" : request.Namespace + "/");
            throw ApiException.Conflict(
                type.Group,
                type.Name,
                request.Name!,
                $"StorageError: invalid object, Code: 4, Key: /registry/{type.Name}/{place}{request.Name}, ResourceVersion: 0, "
                + $"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {stored}");
        }
    }

    /// <summary>The body of a patch, as the type of patch wants it.</summary>
    public static async Task<JsonNode> ReadPatchAsync(ApiRequest request, string mediaType)
    {
        if (mediaType is not ("application/json-patch+json" or "application/merge-patch+json" or "application/strategic-merge-patch+json"))
        {
            throw new ApiException(415, "UnsupportedMediaType", "415: Unsupported Media Type") { EmptyDetails = true };
        }

        var bytes = await BodyReader.BytesAsync(request.Context);
        JsonNode? patch;
        try
        {
            patch = BodyReader.Parse(bytes);
        }
        catch (JsonException wrong)
        {
            throw mediaType == "application/json-patch+json"
                ? ApiException.BadRequest(wrong.Message)
                : new ApiException(500, null, "Invalid JSON Patch");
        }

        if (mediaType == "application/json-patch+json")
        {
            return patch as JsonArray
                ?? throw ApiException.BadRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch");
        }

        return patch as JsonObject ?? throw new ApiException(500, null, "Invalid JSON Patch");
    }

    /// <summary>Applies a patch to a private copy of an object.</summary>
    public static JsonObject Patched(ApiRequest request, JsonObject copy, string mediaType, JsonNode patch, ApiType? shape = null)
    {
        switch (mediaType)
        {
            case "application/json-patch+json":
                return JsonPatch.Apply(copy, (JsonArray)patch) as JsonObject ?? throw PatchRefused(patch, "the patch leaves no object");
            case "application/merge-patch+json":
                JsonPatch.Merge(copy, (JsonObject)patch);
                return copy;
            default:
                StrategicMergePatch.Apply(shape ?? ApiTypes.Of(request.Type), copy, (JsonObject)patch);
                return copy;
        }
    }

    private static ApiException PatchRefused(JsonNode patch, string why)
    {
        var problems = new Problems();
        problems.Invalid("patch", (JsonNode)patch.ToJsonString(StoredJson.Relaxed), why);
        return ApiException.Invalid("", "", "", problems.Causes);
    }

    private static ApiException WrongName(string sent, string wanted) =>
        ApiException.BadRequest($"the name of the object ({sent}) does not match the name on the URL ({wanted})");

    private static JsonObject Existing(ApiRequest request, JsonObject? current) =>
        current ?? throw ApiException.NotFound(request.Type.Group, request.Type.Name, request.Name!);

    private static JsonObject WithoutVersion(JsonObject value)
    {
        var copy = (JsonObject)value.DeepClone();
        copy.Child("metadata").Remove("resourceVersion");
        return copy;
    }

    /// <summary>Name and namespace are those of the path; the body may repeat them, not contradict them.</summary>
    private static void Settle(ApiRequest request, JsonObject metadata, string? name)
    {
        if (name is not null)
        {
            if (metadata.Text("name") is { Length: > 0 } sent && sent != name)
            {
                throw WrongName(sent, name);
            }

            metadata["name"] = name;
        }

        if (!request.Type.Namespaced)
        {
            metadata.Remove("namespace");
            return;
        }

        if (metadata.Text("namespace") is { Length: > 0 } ns && request.Namespace is not null && ns != request.Namespace)
        {
            throw ApiException.BadRequest(
                name is null
                    ? "the namespace of the provided object does not match the namespace sent on the request"
                    : $"the namespace of the object ({ns}) does not match the namespace on the request ({request.Namespace})");
        }

        if (request.Namespace is not null)
        {
            metadata["namespace"] = request.Namespace;
        }
    }

    private static void Complete(ResourceType type, JsonObject value, JsonObject? current)
    {
        ObjectDefaults.Apply(type, value);
        ObjectShape.Normalize(type, value);
        ObjectValidation.Check(type, value, current);
    }

    /// <summary>
    /// A changed object ready to be stored: the parts this path may not write are the stored ones, defaults and owners are filled in.
    /// </summary>
    private JsonObject Finish(ApiRequest request, JsonObject next, JsonObject current)
    {
        var type = request.Type;
        if (request.Subresource == "status")
        {
            var status = next["status"]?.DeepClone();
            var managed = next.At("metadata")?["managedFields"]?.DeepClone();
            next = (JsonObject)current.DeepClone();
            next["status"] = status;
            next.Child("metadata")["managedFields"] = managed;
            ObjectShape.Normalize(type, next);
        }
        else
        {
            if (type.HasStatus)
            {
                next.Copy("status", current);
            }

            Complete(type, next, current);
        }

        ManagedFields.RecordUpdate(type, current, next, Manager(request, type), Now());
        return next;
    }

    private async Task ApplyAsync(ApiRequest request, bool dryRun)
    {
        var type = request.Type;
        if (request["fieldManager"] is null)
        {
            var problems = new Problems();
            problems.Required("fieldManager", "is required for apply patch");
            throw ApiException.Invalid("meta.k8s.io", "PatchOptions", "", problems.Causes);
        }

        var applied = await ReadAppliedAsync(request);
        var metadata = applied.Child("metadata");
        if (metadata.Text("name") is { Length: > 0 } name && name != request.Name)
        {
            throw WrongName(name, request.Name!);
        }

        Settle(request, metadata, request.Name);
        if (metadata.List("managedFields").Count > 0)
        {
            throw ApiException.BadRequest("metadata.managedFields must be nil");
        }

        var manager = Manager(request, type) with { IsApply = true };
        var force = request["force"] is "true" or "1";
        var (stored, created) = store.Write(
            request.Key,
            current =>
            {
                if (current is not null)
                {
                    CheckVersion(type, request.Name!, metadata, current, replacing: false);
                }

                if (request.Subresource == "status")
                {
                    Existing(request, current);
                    applied = new JsonObject { ["metadata"] = metadata.DeepClone(), ["status"] = applied["status"]?.DeepClone() };
                }
                else if (type.HasStatus)
                {
                    applied.Remove("status");
                }

                var next = ManagedFields.Apply(type, current, applied, manager, force, Now());
                next["kind"] = type.Kind;
                next["apiVersion"] = type.ApiVersion;
                Complete(type, next, current);
                return next;
            },
            dryRun);
        await Answer.ObjectAsync(request, dryRun && created ? WithoutVersion(stored) : stored, time.GetUtcNow(), created ? 201 : 200);
    }

    /// <summary>The applied configuration as it was sent, less nulls; its members and their types are checked on a copy.</summary>
    private static async Task<JsonObject> ReadAppliedAsync(ApiRequest request)
    {
        var type = request.Type;
        var bytes = await BodyReader.BytesAsync(request.Context);
        JsonObject? applied;
        try
        {
            applied = BodyReader.Parse(bytes) as JsonObject;
        }
        catch (JsonException wrong)
        {
            throw ApiException.NotImplemented(
                $"YAML in apply patches (kubectl and helm send JSON); as JSON it cannot be read: {wrong.Message}");
        }

        if (applied is null
            || applied.Text("kind") is not { Length: > 0 } kind
            || applied.Text("apiVersion") is not { Length: > 0 } version)
        {
            throw ApiException.BadRequest("error decoding YAML: Object 'Kind' is missing");
        }

        if (kind != type.Kind || version != type.ApiVersion)
        {
            throw ApiException.BadRequest($"{version}, Kind={kind} cannot be applied to {type.Qualified}");
        }

        Strip(applied);
        var probe = (JsonObject)applied.DeepClone();
        var unknown = new List<string>();
        try
        {
            ObjectShape.Normalize(type, probe, unknown);
        }
        catch (ShapeException wrong)
        {
            throw NotTyped(applied, type, wrong.Message);
        }

        if (unknown.Count > 0)
        {
            if (request["fieldValidation"] == "Strict")
            {
                BodyReader.Report(request, unknown);
            }

            throw NotTyped(applied, type, $".{unknown[0]}: field not declared in schema");
        }

        return applied;
    }

    private static ApiException NotTyped(JsonObject applied, ResourceType type, string why) =>
        new(
            500,
            null,
            $"failed to create typed patch object ({applied.At("metadata").Text("namespace")}/{applied.At("metadata").Text("name")}; "
            + $"{type.ApiVersion}, Kind={type.Kind}): {why}");

    private static void Strip(JsonNode node)
    {
        switch (node)
        {
            case JsonObject map:
                foreach (var (name, value) in map.ToList())
                {
                    if (value is null)
                    {
                        map.Remove(name);
                    }
                    else
                    {
                        Strip(value);
                    }
                }

                break;
            case JsonArray list:
                foreach (var value in list.OfType<JsonNode>())
                {
                    Strip(value);
                }

                break;
        }
    }

    private static async Task<DeleteRequest> DeleteRequestAsync(ApiRequest request)
    {
        var dryRun = request.DryRun("DeleteOptions");
        var options = await BodyReader.DeleteOptionsAsync(request.Context);
        var preconditions = options.At("preconditions");
        return new DeleteRequest(
            Propagation(options, request),
            (int?)(options.Number("gracePeriodSeconds") ?? request.Number("gracePeriodSeconds")),
            preconditions.Text("uid"),
            preconditions.Text("resourceVersion"),
            dryRun || options.List("dryRun").Count > 0);
    }

    private static DeletePropagation? Propagation(JsonObject options, ApiRequest request)
    {
        var policy = options.Text("propagationPolicy") ?? request["propagationPolicy"];
        if (policy is { Length: > 0 } && (options["orphanDependents"] is not null || request["orphanDependents"] is not null))
        {
            var both = new Problems();
            both.Invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set");
            throw ApiException.Invalid("meta.k8s.io", "DeleteOptions", "", both.Causes);
        }

        switch (policy)
        {
            case null or "":
                return options.Flag("orphanDependents") || request["orphanDependents"] == "true" ? DeletePropagation.Orphan : null;
            case "Background":
                return DeletePropagation.Background;
            case "Foreground":
                return DeletePropagation.Foreground;
            case "Orphan":
                return DeletePropagation.Orphan;
            case var other:
                var problems = new Problems();
                problems.Unsupported("propagationPolicy", other, "Foreground", "Background", "Orphan", "nil");
                throw ApiException.Invalid("meta.k8s.io", "DeleteOptions", "", problems.Causes);
        }
    }

    private string Now() => ObjectStore.Stamp(time.GetUtcNow());
}
