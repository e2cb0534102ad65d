using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Kinds that run pods, and those that steer them.</summary>
internal static class WorkloadValidation
{
    private static readonly string[] TargetMembers = ["kind", "name"];
    private static readonly string[] JobKeeps = ["completions", "selector", "template", "completionMode"];
    private static readonly string[] StatefulSetMayChange =
    [
        "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];

    public static void Check(ResourceType type, JsonObject value, JsonObject? old, Problems problems)
    {
        var spec = value["spec"] as JsonObject ?? [];
        switch (type.Kind)
        {
            case "Deployment":
            case "ReplicaSet":
            case "StatefulSet":
            case "DaemonSet":
                Replicated(type.Kind, spec, old.At("spec"), problems);
                break;
            case "Job":
                JobSpec(spec, "spec.", problems);
                if (old.At("spec") is { } before)
                {
                    foreach (var name in JobKeeps.Where(name => !JsonNode.DeepEquals(spec[name], before[name])))
                    {
                        problems.InvalidAs("spec." + name, PrintObject(spec[name]), "field is immutable");
                    }
                }

                break;
            case "CronJob":
                CronJob(spec, problems);
                break;
            case "HorizontalPodAutoscaler":
                Autoscaler(spec, problems);
                break;
            case "PodDisruptionBudget":
                if (spec["minAvailable"] is not null && spec["maxUnavailable"] is not null)
                {
                    problems.InvalidAs("spec", PrintObject(spec), "minAvailable and maxUnavailable cannot be both set");
                }

                break;
        }
    }

    private static void Replicated(string kind, JsonObject spec, JsonObject? old, Problems problems)
    {
        problems.NotNegative(spec, "replicas", "spec.");
        problems.NotNegative(spec, "minReadySeconds", "spec.");
        problems.NotNegative(spec, "revisionHistoryLimit", "spec.");
        var template = spec["template"] as JsonObject ?? [];
        Selector(spec, template, problems);
        var claims = spec.Objects("volumeClaimTemplates").Select(claim => claim.At("metadata").Text("name")).OfType<string>();
        PodValidation.Template((JsonObject)template.DeepClone(), "spec.template.", problems, claims);
        if (template.At("spec").Text("restartPolicy") is { } policy and not "Always")
        {
            problems.Unsupported("spec.template.spec.restartPolicy", policy, "Always");
        }

        if (kind == "Deployment")
        {
            Strategy(spec.At("strategy"), problems);
            if (spec.Number("progressDeadlineSeconds") is { } deadline && deadline <= (spec.Number("minReadySeconds") ?? 0))
            {
                problems.Invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
            }
        }

        if (old is null)
        {
            return;
        }

        if (kind == "StatefulSet")
        {
            var fixedNow = Without(spec);
            if (!JsonNode.DeepEquals(fixedNow, Without(old)))
            {
                problems.Forbidden(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
                    + "'revisionHistoryLimit', "
                    + "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
            }
        }
        else if (!JsonNode.DeepEquals(spec["selector"], old["selector"]))
        {
            problems.InvalidAs("spec.selector", PrintSelector(spec.At("selector")), "field is immutable");
        }
    }

    private static void Selector(JsonObject spec, JsonObject template, Problems problems)
    {
        if (spec["selector"] is not JsonObject selector)
        {
            problems.Required("spec.selector");
            NoMatch(template.At("metadata", "labels"), problems);
            return;
        }

        if (selector.Count == 0)
        {
            problems.InvalidAs("spec.selector", "v1.LabelSelector{}", "empty selector is invalid for deployment");
            return;
        }

        var labels = template.At("metadata", "labels");
        var matches = (selector.At("matchLabels")?.All(pair => labels.Text(pair.Key) == pair.Value?.GetValue<string>()) ?? true)
            && selector.Objects("matchExpressions").All(expression => Holds(expression, labels));
        if (!matches)
        {
            NoMatch(labels, problems);
        }
    }

    private static void NoMatch(JsonObject? labels, Problems problems) => problems.InvalidAs(
        "spec.template.metadata.labels",
        labels is null or { Count: 0 } ? "map[string]string(nil)" : Problems.Print(labels),
        "`selector` does not match template `labels`");

    private static bool Holds(JsonObject expression, JsonObject? labels)
    {
        var value = labels.Text(expression.Text("key") ?? "");
        var values = expression.List("values").Select(item => item?.GetValue<string>()).ToList();
        return expression.Text("operator") switch
        {
            "In" => value is not null && values.Contains(value),
            "NotIn" => value is null || !values.Contains(value),
            "Exists" => value is not null,
            "DoesNotExist" => value is null,
            _ => false,
        };
    }

    private static void Strategy(JsonObject? strategy, Problems problems)
    {
        if (strategy is null)
        {
            return;
        }

        problems.OneOf(strategy, "type", "spec.strategy.", required: true, "Recreate", "RollingUpdate");
        if (strategy.Text("type") == "Recreate" && strategy["rollingUpdate"] is not null)
        {
            problems.Forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
        }
        else if (strategy["rollingUpdate"] is JsonObject rolling && IsZero(rolling["maxUnavailable"]) && IsZero(rolling["maxSurge"]))
        {
            problems.InvalidAs(
                "spec.strategy.rollingUpdate.maxUnavailable",
                PrintObject(rolling["maxUnavailable"]),
                "may not be 0 when `maxSurge` is 0");
        }
    }

    private static bool IsZero(JsonNode? node) => node?.ToJsonString() is "0" or "\"0%\"";

    private static void JobSpec(JsonObject spec, string path, Problems problems)
    {
        foreach (var name in new[] { "parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished" })
        {
            problems.NotNegative(spec, name, path);
        }

        var template = (JsonObject?)(spec["template"] as JsonObject)?.DeepClone() ?? [];
        PodValidation.Template(template, path + "template.", problems);
        if (template.At("spec").Text("restartPolicy") is not ("OnFailure" or "Never") and var policy)
        {
            if (policy is null or "Always")
            {
                problems.Required(path + "template.spec.restartPolicy", "valid values: \"OnFailure\", \"Never\"");
            }
        }
    }

    private static void CronJob(JsonObject spec, Problems problems)
    {
        var schedule = spec.Text("schedule") ?? "";
        if (schedule.Length == 0)
        {
            problems.Required("spec.schedule");
        }
        else if (!schedule.StartsWith('@') && schedule.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length != 5)
        {
            problems.Invalid(
                "spec.schedule",
                schedule,
                $"expected exactly 5 fields, found {schedule.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length}: [{schedule}]");
        }

        problems.OneOf(spec, "concurrencyPolicy", "spec.", required: true, "Allow", "Forbid", "Replace");
        JobSpec(spec.At("jobTemplate", "spec") ?? [], "spec.jobTemplate.spec.", problems);
    }

    private static void Autoscaler(JsonObject spec, Problems problems)
    {
        var most = spec.Number("maxReplicas") ?? 0;
        var least = spec.Number("minReplicas") ?? 1;
        if (least < 1)
        {
            problems.Invalid("spec.minReplicas", least, "must be greater than or equal to 1");
        }

        if (most < 1)
        {
            problems.Invalid("spec.maxReplicas", most, "must be greater than 0");
        }
        else if (most < least)
        {
            problems.Invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`");
        }

        foreach (var name in TargetMembers.Where(name => spec.At("scaleTargetRef").Text(name) is not { Length: > 0 }))
        {
            problems.Required("spec.scaleTargetRef." + name);
        }
    }

    private static JsonObject Without(JsonObject spec)
    {
        var copy = (JsonObject)spec.DeepClone();
        foreach (var name in StatefulSetMayChange)
        {
            copy.Remove(name);
        }

        return copy;
    }

    private static string PrintObject(JsonNode? node) =>
        node?.GetValueKind() == JsonValueKind.Object ? node.ToJsonString(StoredJson.Relaxed) : Problems.Print(node);

    private static string PrintSelector(JsonObject? selector)
    {
        var labels = string.Join(
            ", ",
            selector.At("matchLabels")?.Select(pair => $"\"{pair.Key}\":\"{pair.Value?.GetValue<string>()}\"") ?? []);
        var expressions = selector.List("matchExpressions").Count == 0
            ? "[]v1.LabelSelectorRequirement(nil)"
            : selector!["matchExpressions"]!.ToJsonString(StoredJson.Relaxed);
        return $"v1.LabelSelector{{MatchLabels:map[string]string{{{labels}}}, MatchExpressions:{expressions}}}";
    }
}
