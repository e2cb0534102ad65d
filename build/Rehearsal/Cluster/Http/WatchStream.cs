using System.Buffers;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Cluster;

/// <summary>Serves <c>?watch=true</c>: an endless body of events, one JSON line each.</summary>
internal sealed class WatchStream(ObjectStore store, TimeProvider time, CancellationToken stopping)
{
    private static readonly TimeSpan BookmarkEvery = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LastBookmarkBeforeEnd = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromMinutes(45);

    public async Task ServeAsync(ApiRequest request)
    {
        var version = request.ResourceVersion();
        var initialEvents = request["sendInitialEvents"] is "true" or "1";
        var bookmarks = request["allowWatchBookmarks"] is "true" or "1";
        CheckOptions(request, initialEvents);
        var filter = new Filter(request);
        var form = Accept.Form(request.Context.Request);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(request.Aborted, stopping);
        var lasting = request.Number("timeoutSeconds") is { } seconds and > 0 ? TimeSpan.FromSeconds(seconds) : DefaultTimeout;
        using var timeout = new CancellationTokenSource(lasting, time);
        var last = bookmarks ? time.GetUtcNow() + lasting - LastBookmarkBeforeEnd : (DateTimeOffset?)null;
        using var both = CancellationTokenSource.CreateLinkedTokenSource(ending.Token, timeout.Token);
        var type = request.Type;
        var fromNow = initialEvents || version is null or 0;
        using var subscription = fromNow
            ? store.Subscribe(type.Group, type.Name)
            : store.SubscribeAfter(type.Group, type.Name, version!.Value);
        var response = request.Context.Response;
        response.StatusCode = 200;
        response.ContentType = "application/json";
        response.Headers.CacheControl = "no-cache, private";
        var sink = new Sink(request, form, time);
        if (subscription is null)
        {
            sink.Status(new ApiException(410, "Expired", $"too old resource version: {version} ({store.HistoryFloor})"));
            await sink.FlushAsync(request.Aborted);
            return;
        }

        foreach (var stored in subscription.Existing.Where(stored => filter.Holds(stored)))
        {
            sink.Event("ADDED", stored);
        }

        if (initialEvents)
        {
            sink.Bookmark(subscription.Revision, endOfInitialEvents: true);
        }

        foreach (var missed in subscription.Missed)
        {
            Send(sink, filter, missed);
        }

        try
        {
            await sink.FlushAsync(both.Token);
            await FollowAsync(subscription, sink, filter, last, Math.Max(subscription.Revision, version ?? 0), both.Token);
        }
        catch (OperationCanceledException) when (!request.Aborted.IsCancellationRequested)
        {
            // The time the client asked for is over, or the server stops: a clean end of the body.
        }
    }

    private async Task FollowAsync(
        StoreSubscription subscription,
        Sink sink,
        Filter filter,
        DateTimeOffset? last,
        long seen,
        CancellationToken cancellation)
    {
        var bookmarked = seen;
        while (true)
        {
            var left = last - time.GetUtcNow();
            var wait = left is null ? Timeout.InfiniteTimeSpan : left > TimeSpan.Zero && left < BookmarkEvery ? left.Value : BookmarkEvery;
            using var alarm = new CancellationTokenSource(wait, time);
            using var quiet = CancellationTokenSource.CreateLinkedTokenSource(cancellation, alarm.Token);
            var open = true;
            try
            {
                open = await subscription.Events.WaitToReadAsync(quiet.Token);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                // The last one comes in any case, so that the client goes on from there.
                if (store.Revision is var revision
                    && (revision > bookmarked || time.GetUtcNow() >= last)
                    && !subscription.Events.TryPeek(out _))
                {
                    sink.Bookmark(revision, endOfInitialEvents: false);
                    bookmarked = revision;
                }
            }

            if (!open)
            {
                return;
            }

            while (subscription.Events.TryRead(out var happened))
            {
                if (happened.Revision > seen)
                {
                    Send(sink, filter, happened);
                }
            }

            await sink.FlushAsync(cancellation);
        }
    }

    private static void CheckOptions(ApiRequest request, bool initialEvents)
    {
        var match = request["resourceVersionMatch"];
        if (initialEvents && match != "NotOlderThan")
        {
            throw ResourceReads.ListOptionsRefused(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }

        if (!initialEvents && match is not null)
        {
            throw ResourceReads.ListOptionsRefused(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
    }

    /// <summary>An object that comes to match is ADDED for this watch, one that ceases to match is DELETED.</summary>
    private static void Send(Sink sink, Filter filter, StoreEvent happened)
    {
        var before = happened.Before is { } old && filter.Holds(old);
        var now = happened.Kind != ChangeKind.Deleted && filter.Holds(happened.Now);
        switch (before, now)
        {
            case (false, true):
                sink.Event("ADDED", happened.Now);
                break;
            case (true, true):
                sink.Event("MODIFIED", happened.Now);
                break;
            case (true, false):
                sink.Event("DELETED", happened.Kind == ChangeKind.Deleted ? happened.Now : Last(happened.Before!, happened.Revision));
                break;
        }
    }

    /// <summary>The object as it last matched, with the revision at which it ceased to.</summary>
    private static StoredObject Last(StoredObject before, long revision)
    {
        var copy = (JsonObject)before.Object.DeepClone();
        copy.Child("metadata")["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture);
        return StoredJson.Freeze(before.Key, before.Type, copy, revision);
    }

    private sealed class Filter(ApiRequest request)
    {
        private readonly LabelSelector _labels = LabelSelector.Parse(request["labelSelector"] ?? "");
        private readonly FieldSelector _fields = FieldSelector.Parse(request.Type, request["fieldSelector"] ?? "");

        public bool Holds(StoredObject stored) =>
            (request.Namespace is null || stored.Key.Namespace == request.Namespace)
            && (request.Name is null || stored.Key.Name == request.Name)
            && _fields.Matches(stored.Object)
            && _labels.Matches(stored.Object);
    }

    private sealed class Sink(ApiRequest request, AnswerForm form, TimeProvider time)
    {
        private readonly ArrayBufferWriter<byte> _buffer = new(4096);

        public void Event(string type, StoredObject stored)
        {
            Open(type);
            switch (form)
            {
                case AnswerForm.Table:
                    var metadata = new JsonObject { ["resourceVersion"] = stored.Object.At("metadata").Text("resourceVersion") };
                    Table.Write(_buffer, request.Type, [stored.Object], metadata, Answer.Rows(request), time.GetUtcNow());
                    break;
                case AnswerForm.Partial:
                    using (var writer = new Utf8JsonWriter(_buffer, StoredJson.WriterOptions))
                    {
                        Table.WritePartial(writer, stored.Object);
                    }

                    break;
                default:
                    _buffer.Write(stored.Json);
                    break;
            }

            Close();
        }

        public void Bookmark(long revision, bool endOfInitialEvents)
        {
            var metadata = new JsonObject
            {
                ["resourceVersion"] = revision.ToString(CultureInfo.InvariantCulture),
                ["creationTimestamp"] = null,
            };
            if (endOfInitialEvents)
            {
                metadata["annotations"] = new JsonObject { ["k8s.io/initial-events-end"] = "true" };
            }

            var mark = form switch
            {
                AnswerForm.Partial => new JsonObject { ["kind"] = "PartialObjectMetadata", ["apiVersion"] = "meta.k8s.io/v1" },
                AnswerForm.Table => new JsonObject
                {
                    ["kind"] = "Table",
                    ["apiVersion"] = "meta.k8s.io/v1",
                    ["columnDefinitions"] = new JsonArray(),
                    ["rows"] = new JsonArray(),
                },
                _ => new JsonObject { ["kind"] = request.Type.Kind, ["apiVersion"] = request.Type.ApiVersion },
            };
            mark["metadata"] = metadata;
            Open("BOOKMARK");
            _buffer.Write(StoredJson.ToBytes(mark));
            Close();
        }

        public void Status(ApiException failure)
        {
            Open("ERROR");
            _buffer.Write(StoredJson.ToBytes(failure.ToStatus()));
            Close();
        }

        public async Task FlushAsync(CancellationToken cancellation)
        {
            var body = request.Context.Response.Body;
            if (_buffer.WrittenCount > 0)
            {
                await body.WriteAsync(_buffer.WrittenMemory, cancellation);
                _buffer.ResetWrittenCount();
            }

            await body.FlushAsync(cancellation);
        }

        private void Open(string type)
        {
            _buffer.Write("{\"type\":\""u8);
            foreach (var letter in type)
            {
                _buffer.Write([(byte)letter]);
            }

            _buffer.Write("\",\"object\":"u8);
        }

        private void Close() => _buffer.Write("}\n"u8);
    }
}
