using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.Cluster;

/// <summary>
/// Fault <c>cluster-hold</c>: stops the first write of a journal (a ConfigMap with <c>journal.jsonl</c>) whose last line is of the named
/// step, part and event, before it is applied or before it is answered, until the client goes away or the fault is cleared or set anew.
/// A write whose client went away before it was applied is never applied.
/// </summary>
internal sealed class JournalHold(Func<string, string?> fault, TimeProvider time)
{
    private const string Name = "cluster-hold";
    private const string JournalKey = "journal.jsonl";

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(5);

    private readonly Lock _lock = new();
    private string? _spent;
    private TaskCompletionSource<string> _held = New();

    /// <summary>The setting that holds a write now, or as soon as one does; null when the patience is over.</summary>
    public async Task<string?> HeldAsync(TimeSpan patience, CancellationToken cancellation)
    {
        Task<string> held;
        lock (_lock)
        {
            held = _held.Task;
        }

        try
        {
            return await held.WaitAsync(patience, time, cancellation);
        }
        catch (TimeoutException)
        {
            return null;
        }
    }

    public async Task ServeAsync(HttpContext context, Func<HttpContext, Task> serve)
    {
        var request = context.Request;
        if (fault(Name) is not { } setting
            || Point.Parse(setting) is not { } point
            || !(HttpMethods.IsPost(request.Method) || HttpMethods.IsPut(request.Method))
            || !(request.Path.Value ?? "").Contains("/configmaps", StringComparison.Ordinal))
        {
            await serve(context);
            return;
        }

        var body = await BodyReader.BytesAsync(context);
        request.Body = new MemoryStream(body);
        if (!point.IsLastOf(body))
        {
            await serve(context);
        }
        else if (point.IsAfter)
        {
            await ServeHeldAsync(context, serve, setting);
        }
        else
        {
            await HoldAsync(setting, context.RequestAborted);
            await serve(context);
        }
    }

    private static TaskCompletionSource<string> New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task ServeHeldAsync(HttpContext context, Func<HttpContext, Task> serve, string setting)
    {
        var wire = context.Response.Body;
        using var answer = new MemoryStream();
        context.Response.Body = answer;
        try
        {
            await serve(context);
            await HoldAsync(setting, context.RequestAborted);
        }
        finally
        {
            context.Response.Body = wire;
        }

        answer.Position = 0;
        await answer.CopyToAsync(wire, context.RequestAborted);
    }

    private async Task HoldAsync(string setting, CancellationToken aborted)
    {
        lock (_lock)
        {
            // Settings are told apart by their instance, so that the same one set again holds again.
            if (ReferenceEquals(_spent, setting))
            {
                return;
            }

            _spent = setting;
            _held.SetResult(setting);
        }

        try
        {
            while (ReferenceEquals(fault(Name), setting))
            {
                await Task.Delay(Look, time, aborted);
            }
        }
        finally
        {
            lock (_lock)
            {
                _held = New();
            }
        }
    }

    private sealed record Point(bool IsAfter, string Step, string? Part, string Event)
    {
        /// <summary><c>before|after:STEP/EVENT</c> or <c>…:STEP/PART/EVENT</c>; null for anything else, which holds nothing.</summary>
        public static Point? Parse(string setting) => setting.Split(':', 2) is [("before" or "after") and var side, var place]
            ? place.Split('/') switch
            {
                [var step, var what] => new Point(side == "after", step, null, what),
                [var step, var part, var what] => new Point(side == "after", step, part, what),
                _ => null,
            }
            : null;

        public bool IsLastOf(byte[] body)
        {
            try
            {
                return BodyReader.Parse(body) is JsonObject map
                    && map["data"] is JsonObject data
                    && (string?)data[JournalKey] is { Length: > 0 } journal
                    && JsonNode.Parse(journal.TrimEnd('\n').Split('\n')[^1]) is JsonObject entry
                    && (string?)entry["step"] == Step
                    && (string?)entry["part"] == Part
                    && (string?)entry["event"] == Event;
            }
            catch (Exception wrong) when (wrong is JsonException or InvalidOperationException)
            {
                // No journal of ours; what else is wrong with it, the server tells.
                return false;
            }
        }
    }
}
