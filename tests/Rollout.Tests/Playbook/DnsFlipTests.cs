using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using Rollout.Journal;
using Rollout.Playbook;
using Rollout.Tests.Traffic;
using Rollout.Traffic;

namespace Rollout.Tests.Playbook;

/// <summary>Invariant 7, all hosts or none, against a Linode that misbehaves and a flip that is killed and started again.</summary>
public sealed class DnsFlipTests
{
    private const string Blue = "127.20.0.10";
    private const string Green = "127.20.0.20";
    private const string Foreign = "192.0.2.77";
    private static readonly string[] Hosts = [.. Enumerable.Range(1, 18).Select(i => $"h{i:00}.aether.example.com")];

    /// <summary>What happens to one attempt: at its Nth record write, or from its Nth call on.</summary>
    public enum Trouble
    {
        None,
        RefusedRecord,
        TooManyRequests,
        BadGateways,
        Busy,
        LostAnswer,
        LostRequest,
        ForeignEdit,
        Killed,
        Down,
    }

    /// <param name="Trouble">Which.</param>
    /// <param name="At">The write, from 1, at which it happens; with more than 18 it may not happen at all.</param>
    /// <param name="Times">How many writes in a row it concerns.</param>
    public sealed record Attempt(Trouble Trouble, int At, int Times);

    [Test]
    public void A_flip_ends_all_new_or_all_old_and_the_journal_says_which()
    {
        var attempts =
            from trouble in Gen.Elements(Enum.GetValues<Trouble>())
            from at in Gen.Choose(1, 20)
            from times in Gen.Choose(1, 4)
            select new Attempt(trouble, at, times);
        var ways = from there in attempts.ListOf() from back in attempts.ListOf() select (there.Take(3).ToList(), back.Take(3).ToList());
        Prop.ForAll(ways.ToArbitrary(), way => Task.Run(async () =>
        {
            var world = await World.StartAsync();
            await using (world.Linode)
            {
                await world.MoveAsync("FlipDns", Green, way.Item1);
                await world.MoveAsync("RestoreDns", Blue, way.Item2);
            }
        }).GetAwaiter().GetResult()).Check(Config.QuickThrowOnFailure.WithMaxTest(200));
    }

    [TestCase(0, null)]
    [TestCase(300, null)]
    [TestCase(3600, "the longest TTL is 3600 s (oms.aether.example.com): for 1 h 0 min after the flip clients may stay on the old slot, which refuses their orders. "
        + "Lowered to 300 s now, it lets go at 2026-11-02 10:00:00 UTC; flip after that")]
    public void A_long_TTL_is_told_with_the_time_to_lower_it(int ttl, string? warning)
    {
        var records = new[] { new HostRecord("ui.aether.example.com", "A", Blue, 60, "1"), new HostRecord("oms.aether.example.com", "A", Blue, ttl, "2") };

        Assert.That(DnsFlip.WarningOf(records, new DateTimeOffset(2026, 11, 2, 9, 0, 0, TimeSpan.Zero)), Is.EqualTo(warning));
    }

    [TestCase(3600, 600, 3000, Description = "lowered ten minutes ago: most of the old hour is left")]
    [TestCase(3600, 4000, 300, Description = "lowered more than the old hour ago")]
    [TestCase(300, 60, 300)]
    [TestCase(null, 0, 300, Description = "a journal of an older version says nothing")]
    public void A_TTL_that_was_lowered_late_still_counts_as_it_was(int? prepared, int ago, int expected)
    {
        var now = new DateTimeOffset(2026, 11, 2, 9, 0, 0, TimeSpan.Zero);
        var data = prepared is { } ttl ? new JsonObject { ["ttl"] = ttl } : [];
        var entry = new JournalEntry(1, now.AddSeconds(-ago), nameof(StageConfig), JournalEvent.Done, null, "tester@here", "run", data, JournalEntry.Genesis);

        Assert.That(DnsFlip.OldTtl([new HostRecord("oms.aether.example.com", "A", Blue, 300, "1")], [entry], now), Is.EqualTo(expected));
    }

    /// <summary>A zone of 18 hosts and the journal of what was done to it.</summary>
    private sealed class World
    {
        private readonly SkippingTime _time = new();
        private readonly List<JournalEntry> _journal = [];
        private readonly HashSet<string> _foreign = [];

        private World(LinodeDouble linode) => Linode = linode;

        public LinodeDouble Linode { get; }

        public static async Task<World> StartAsync()
        {
            var linode = await LinodeDouble.StartAsync();
            linode.AddZone(7, "aether.example.com");
            foreach (var host in Hosts)
            {
                linode.AddRecord(7, "A", host.Split('.')[0], Blue);
            }

            return new World(linode);
        }

        /// <summary>Each attempt as a run of its own; the last one goes undisturbed, as the operator's next command does.</summary>
        public async Task MoveAsync(string step, string to, IReadOnlyList<Attempt> attempts)
        {
            foreach (var attempt in attempts.Append(new Attempt(Trouble.None, 1, 1)))
            {
                var before = Linode.Targets();
                await AttemptAsync(step, to, attempt);
                Judge(step, to, before, attempt);
                if (_foreign.Count > 0)
                {
                    // A person settles what the foreign hand did, as the refusal asks: the host goes where the others are.
                    var others = Linode.Targets().First(target => target != Foreign);
                    foreach (var id in Enumerable.Range(0, Hosts.Length).Where(i => _foreign.Contains(Hosts[i])))
                    {
                        Linode.SetTarget(1001 + id, others);
                    }

                    _foreign.Clear();
                }
            }

            Assert.That(Linode.Targets(), Is.All.EqualTo(to), "an undisturbed attempt moves all");
        }

        private async Task AttemptAsync(string step, string to, Attempt attempt)
        {
            var first = Linode.Writes.Count();
            var killed = false;
            Linode.Misbehave = call => Misbehaviour(attempt, call.Number == 0 ? 0 : call.Number - first);
            Linode.AfterEffect = call =>
            {
                if (attempt.Trouble == Trouble.ForeignEdit && call.Number - first == attempt.At)
                {
                    var host = Hosts[(attempt.At * attempt.Times) % Hosts.Length];
                    _foreign.Add(host);
                    Linode.SetTarget(1001 + Array.IndexOf(Hosts, host), Foreign);
                }

                killed |= attempt.Trouble == Trouble.Killed && call.Number > 0 && call.Number - first >= attempt.At;
            };

            // A killed process writes no more, and nobody moves back for it: that is what a fence that refuses looks like to the zone.
            Task Fence(CancellationToken cancellationToken) => killed ? Support.Fences.Closed(cancellationToken) : Support.Fences.Open(cancellationToken);
            using var zone = new DnsZone(new LinodeDomains(Linode.Api, new Secret(LinodeDouble.Token), Fence, _time, new Lines()), null, _time, new Lines());
            await Append(step, JournalEvent.Started, null, null);
            try
            {
                await DnsFlip.MoveAsync(zone, Hosts, new SlotAddress(to), step, [.. _journal], intent => Append(step, JournalEvent.Intent, "records", intent), default);
                await Append(step, JournalEvent.Done, null, null);
            }
            catch (RolloutException exception) when (exception.ExitCode == ExitCode.Refused)
            {
                // Dead: not a word in the journal.
            }
            catch (RolloutException exception)
            {
                await Append(step, JournalEvent.Failed, null, new JsonObject { ["exit"] = (int)exception.ExitCode, ["message"] = exception.Message });
            }
            finally
            {
                Linode.Misbehave = _ => null;
                Linode.AfterEffect = _ => { };
            }
        }

        private static Reaction? Misbehaviour(Attempt attempt, int write)
        {
            var concerned = write >= attempt.At && write < attempt.At + attempt.Times;
            return attempt.Trouble switch
            {
                Trouble.RefusedRecord when write == attempt.At => Reaction.Error(400, "Record could not be saved."),
                Trouble.TooManyRequests when concerned => Reaction.Error(429, "Too many requests").WithHeader("Retry-After", "2"),
                Trouble.BadGateways when concerned => Reaction.Page(502),
                Trouble.Busy when concerned => Reaction.Error(400, "Linode busy."),
                Trouble.LostAnswer when concerned => Reaction.LostAnswer(),
                Trouble.LostRequest when concerned => Reaction.LostAnswer() with { TakesEffect = false },

                // Away for a whole attempt's tries, but not for good.
                Trouble.Down when write >= attempt.At && write < attempt.At + 40 => Reaction.Page(502),
                _ => null,
            };
        }

        private Task Append(string step, JournalEvent what, string? part, JsonObject? data)
        {
            _journal.Add(new JournalEntry(_journal.Count + 1, _time.GetUtcNow(), step, what, part, "tester@here", "run", data, JournalEntry.Genesis));
            return Task.CompletedTask;
        }

        private void Judge(string step, string to, IReadOnlyList<string> before, Attempt attempt)
        {
            var targets = Linode.Targets().Zip(Hosts).Where(pair => !_foreign.Contains(pair.Second)).ToList();
            var from = to == Green ? Blue : Green;
            var last = _journal[^1];
            switch (last.Event)
            {
                case JournalEvent.Done:
                    Assert.That(targets.Where(pair => pair.First != to), Is.Empty, $"the journal says done, after {attempt}");
                    break;
                case JournalEvent.Failed when last.Data!["exit"]!.GetValue<int>() == (int)ExitCode.Held:
                    var message = last.Data["message"]!.GetValue<string>();
                    Assert.That(targets.Where(pair => pair.First == to && !message.Contains(pair.Second, StringComparison.Ordinal)), Is.Empty, $"a stray that nobody is told of, after {attempt}: {message}");
                    break;
                case JournalEvent.Failed:
                    Assert.That(targets.Where(pair => pair.First != from), Is.Empty, $"the journal says failed, after {attempt}");
                    break;
                case JournalEvent.Started or JournalEvent.Intent:
                    Assert.That(attempt.Trouble == Trouble.Killed || Linode.Targets().SequenceEqual(before), $"only a killed attempt leaves a mixture: {attempt}");
                    break;
                default:
                    Assert.Fail($"An unexpected end of the journal: {last.Event} after {attempt}");
                    break;
            }
        }
    }
}
