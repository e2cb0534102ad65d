using System.Threading.Channels;

namespace Rehearsal.Cluster;

/// <summary>One reader of changes, from a moment under the store's lock on; nothing is lost and nothing comes twice.</summary>
internal sealed class StoreSubscription : IDisposable
{
    private readonly ObjectStore _store;
    private readonly string? _group;
    private readonly string? _resource;
    private readonly Channel<StoreEvent> _events = Channel.CreateUnbounded<StoreEvent>(new UnboundedChannelOptions { SingleReader = true });

    public StoreSubscription(
        ObjectStore store,
        string? group,
        string? resource,
        IReadOnlyList<StoredObject> existing,
        IReadOnlyList<StoreEvent> missed,
        long revision)
    {
        _store = store;
        _group = group;
        _resource = resource;
        Existing = existing;
        Missed = missed;
        Revision = revision;
    }

    public IReadOnlyList<StoredObject> Existing { get; }

    public IReadOnlyList<StoreEvent> Missed { get; }

    /// <summary>The store's revision when the subscription began.</summary>
    public long Revision { get; }

    public ChannelReader<StoreEvent> Events => _events.Reader;

    public void Offer(StoreEvent happened)
    {
        if (_resource is null || (happened.Now.Key.Resource == _resource && happened.Now.Key.Group == _group))
        {
            _events.Writer.TryWrite(happened);
        }
    }

    public void Complete() => _events.Writer.TryComplete();

    public void Dispose() => _store.Unsubscribe(this);
}
