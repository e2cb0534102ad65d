using System.Text.Json.Nodes;

namespace Rehearsal.Controllers;

/// <summary>Edits <c>status.conditions</c>; the transition time moves only when the status does.</summary>
internal static class Conditions
{
    /// <summary>Sets the fields of a condition; fields given as null are removed. Says whether anything but a time changed.</summary>
    public static bool Set(
        JsonObject status,
        string type,
        string value,
        string? reason,
        string? message,
        DateTimeOffset now,
        params ReadOnlySpan<string> stamps)
    {
        if (status["conditions"] is not JsonArray conditions)
        {
            conditions = [];
            status["conditions"] = conditions;
        }

        var condition = conditions.OfType<JsonObject>().FirstOrDefault(existing => existing.Text("type") == type);
        if (condition is not null
            && condition.Text("status") == value && condition.Text("reason") == reason && condition.Text("message") == message)
        {
            return false;
        }

        if (condition is null)
        {
            condition = new JsonObject { ["type"] = type };
            conditions.Add((JsonNode)condition);
        }

        var moved = condition.Text("status") != value;
        condition["status"] = value;
        foreach (var stamp in stamps)
        {
            condition[stamp] = now.Stamp();
        }

        if (moved)
        {
            condition["lastTransitionTime"] = now.Stamp();
        }

        Put(condition, "reason", reason);
        Put(condition, "message", message);
        return true;
    }

    public static void Remove(JsonObject status, string type)
    {
        if (status["conditions"] is JsonArray conditions
            && conditions.OfType<JsonObject>().FirstOrDefault(condition => condition.Text("type") == type) is { } existing)
        {
            conditions.Remove(existing);
        }
    }

    private static void Put(JsonObject condition, string name, string? value)
    {
        if (value is null)
        {
            condition.Remove(name);
        }
        else
        {
            condition[name] = value;
        }
    }
}
