using System.IO.Enumeration;

namespace Rehearsal.World;

/// <summary>Publish and subscribe. A connection keeps its channels by name, marked <c>c:</c> for plain ones and <c>p:</c> for patterns.</summary>
internal static class RedisChannels
{
    /// <summary>Answers (P)SUBSCRIBE and (P)UNSUBSCRIBE, once for each channel.</summary>
    public static void Subscribe(RespConnection client, string name, string[] channels)
    {
        var isPattern = name[0] == 'P';
        var isLeaving = name.Contains("UNSUBSCRIBE", StringComparison.Ordinal);
        var kind = isPattern ? "p:" : "c:";
        var touched = channels.Length > 0 ? channels.Select(channel => kind + channel).ToArray() : [.. client.Channels];
        foreach (var channel in touched)
        {
            if (isLeaving)
            {
                client.Channels.Remove(channel);
            }
            else
            {
                client.Channels.Add(channel);
            }

            client.Push(3);
            client.Bulk(name.ToLowerInvariant());
            client.Bulk(channel[2..]);
            client.Integer(client.Channels.Count);
        }
    }

    /// <summary>Sends to every subscription that matches; returns how many there were.</summary>
    public static int Publish(
        IEnumerable<RespConnection> connections, string channel, byte[] message, CancellationToken cancellationToken)
    {
        var receivers = 0;
        foreach (var other in connections)
        {
            foreach (var subscription in other.Channels.Where(subscription => Hears(subscription, channel)).ToList())
            {
                receivers++;
                _ = other.PushAsync(to => WriteMessage(to, subscription, channel, message), cancellationToken)
                    .ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }
        }

        return receivers;
    }

    private static bool Hears(string subscription, string channel)
    {
        return subscription[0] == 'p'
            ? FileSystemName.MatchesSimpleExpression(subscription.AsSpan(2), channel, ignoreCase: false)
            : subscription[2..] == channel;
    }

    private static void WriteMessage(RespConnection to, string subscription, string channel, byte[] message)
    {
        var isPattern = subscription[0] == 'p';
        to.Push(isPattern ? 4 : 3);
        to.Bulk(isPattern ? "pmessage" : "message");
        if (isPattern)
        {
            to.Bulk(subscription[2..]);
        }

        to.Bulk(channel);
        to.Bulk(message);
    }
}
