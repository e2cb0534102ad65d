using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Controllers;

/// <summary>What every controller works with.</summary>
/// <param name="Complain">Told of failures nobody asked for; ends on the process's standard error.</param>
internal sealed record ControllerContext(ObjectStore Store, TimeProvider Time, EventRecorder Events, string Node, Action<string> Complain)
{
    public DateTimeOffset Now => Time.GetUtcNow();
}

/// <summary>
/// One reconciling loop: changes become keys, keys are reconciled one after the other. A reconciliation that fails is reported,
/// tried again later, and does not stop the others.
/// </summary>
internal abstract class Controller(string name, ControllerContext context) : IDisposable
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RefusedRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastRetry = TimeSpan.FromMinutes(1);

    private readonly Dictionary<ObjectKey, int> _failures = [];

    protected string Name { get; } = name;

    protected ControllerContext Context { get; } = context;

    protected ObjectStore Store => Context.Store;

    protected EventRecorder Events => Context.Events;

    protected WorkQueue Queue { get; } = new(context.Time);

    /// <summary>Sees every change, in order; only enqueues.</summary>
    public abstract void Observe(Change change);

    /// <summary>Brings the cluster one step nearer to what the object of that key asks.</summary>
    protected abstract void Reconcile(ObjectKey key);

    public async Task RunAsync(CancellationToken cancellation)
    {
        while (true)
        {
            Work(await Queue.TakeAsync(cancellation));
        }
    }

    /// <summary>Reconciles these keys at once, in the caller's flow; only before <see cref="RunAsync"/>.</summary>
    public void CatchUp(IEnumerable<ObjectKey> keys)
    {
        foreach (var key in keys)
        {
            Work(key);
        }
    }

    public virtual void Dispose()
    {
        Queue.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Dependents that name the owner as their controller, after taking in matching orphans.</summary>
    protected List<JsonObject> Claim(JsonObject owner, string group, string resource, JsonNode? selector)
    {
        var claimed = new List<JsonObject>();
        foreach (var candidate in Store.List(group, resource, owner.Namespace()))
        {
            var controller = Ownership.ControllerOf(candidate);
            if (controller is not null)
            {
                if (controller.Uid == owner.Uid())
                {
                    claimed.Add(candidate);
                }
            }
            else if (!owner.IsDeleting() && !candidate.IsDeleting() && Selector.Matches(selector, candidate.At("metadata", "labels")))
            {
                var adopted = Store.Update(candidate.Key(group, resource), orphan =>
                {
                    if (orphan.Uid() == candidate.Uid() && Ownership.ControllerOf(orphan) is null)
                    {
                        Ownership.Add(orphan, owner);
                    }
                });
                if (adopted is not null && Ownership.ControllerOf(adopted)?.Uid == owner.Uid())
                {
                    claimed.Add(adopted);
                }
            }
        }

        return claimed;
    }

    /// <summary>
    /// Makes a pod for its owner, or says in an event why it may not be made, in which case the owner is looked at again a moment later.
    /// </summary>
    /// <param name="failing">What the sentence of the event begins with.</param>
    protected (JsonObject? Pod, string? Refusal) CreatePod(ObjectKey key, JsonObject owner, JsonObject pod, string failing = "Error creating")
    {
        if (PodAdmission.Refusal(Store, pod) is not { } refusal)
        {
            return (Store.Create("", "pods", pod), null);
        }

        Events.Warning(Name, owner, "FailedCreate", $"{failing}: {refusal.Message}");
        Queue.AddAfter(key, RefusedRetry);
        return (null, refusal.Message);
    }

    /// <summary>Enqueues the controller of a dependent, and for an orphan everyone of that kind who would adopt it.</summary>
    protected void EnqueueOwner(JsonObject dependent, string group, string resource, string kind)
    {
        var controller = Ownership.ControllerOf(dependent);
        if (controller is not null)
        {
            if (controller.Kind == kind && controller.Group == group)
            {
                Queue.Add(new ObjectKey(group, resource, dependent.Namespace(), controller.Name));
            }

            return;
        }

        foreach (var candidate in Store.List(group, resource, dependent.Namespace()))
        {
            if (Selector.Matches(candidate.At("spec", "selector"), dependent.At("metadata", "labels")))
            {
                Queue.Add(candidate.Key(group, resource));
            }
        }
    }

    /// <summary>Replaces the status of the object of that uid; nothing happens where it is the same already.</summary>
    protected void WriteStatus(ObjectKey key, JsonObject of, JsonObject status)
    {
        if (!JsonNode.DeepEquals(of["status"], status))
        {
            Store.Update(key, item =>
            {
                if (item.Uid() == of.Uid())
                {
                    item["status"] = status.DeepClone();
                }
            });
        }
    }

    private void Work(ObjectKey key)
    {
        try
        {
            Reconcile(key);
            _failures.Remove(key);
        }
        catch (ApiException refused) when (refused.Code is 403 or 404 && NamespaceIsGoing(key))
        {
            _failures.Remove(key);
        }
#pragma warning disable CA1031 // Whatever one object causes must not end the loop for all others; it is reported, not swallowed.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Report(key, failure);
        }
    }

    private bool NamespaceIsGoing(ObjectKey key) =>
        key.Namespace is { } name && Store.Get(new ObjectKey("", "namespaces", null, name)) is not { } home
        || key.Namespace is { } still && Store.Get(new ObjectKey("", "namespaces", null, still))!.IsDeleting();

    private void Report(ObjectKey key, Exception failure)
    {
        var failures = _failures.GetValueOrDefault(key) + 1;
        _failures[key] = failures;
        var where = (key.Namespace is null ? "" : key.Namespace + "/") + key.Name;
        Context.Complain($"{Name}: {key.Resource} {where}: {failure}");
        if (Store.Get(key) is { } subject)
        {
            Events.Warning(Name, subject, "ReconcileError", failure.Message);
        }

        Queue.AddAfter(key, TimeSpan.FromTicks(Math.Min(LastRetry.Ticks, FirstRetry.Ticks << Math.Min(failures, 20))));
    }
}
