using FsCheck;
using FsCheck.Fluent;
using Rollout.Environments;

namespace Rollout.Tests.Environments;

public sealed class ExchangeLogTests
{
    [Test]
    public void One_handover_is_clean_and_its_window_is_measured()
    {
        var report = ExchangeLog.Examine([Order(1, 0, "blue"), Order(2, 100, "blue"), Order(3, 4100, "green"), Order(4, 4200, "green")]);
        Assert.That(report.IsCleanFor(1), Is.True);
        Assert.That((report.Handovers[0].First - report.Handovers[0].Last).TotalMilliseconds, Is.EqualTo(4000));
        Assert.That(report.LastWriter, Is.EqualTo("green"));
    }

    [Test]
    public void A_single_order_of_the_old_slot_among_the_new_ones_is_seen() =>
        Assert.That(ExchangeLog.Examine([Order(1, 0, "blue"), Order(2, 100, "green"), Order(3, 101, "blue"), Order(4, 200, "green")]).IsCleanFor(1), Is.False);

    [Test]
    public void Orders_are_judged_by_the_time_they_arrived_and_not_by_their_place_in_the_log() =>
        Assert.That(ExchangeLog.Examine([Order(2, 100, "green"), Order(1, 0, "blue"), Order(3, 200, "green")]).IsCleanFor(1), Is.True);

    [Test]
    public void An_interleaving_is_never_called_clean()
    {
        // Any log in which both slots send after the first handover has more than one handover.
        var property = Prop.ForAll(Gen.Elements("blue", "green").ListOf(12).ToArbitrary(), slots =>
        {
            var list = slots.ToList();
            var report = ExchangeLog.Examine([.. list.Select((s, i) => Order(i, i, s))]);
            var tail = list.SkipWhile(s => s == list[0]).ToList();
            return report.IsCleanFor(1) == (tail.Count > 0 && tail.Distinct().Count() == 1);
        });
        property.QuickCheckThrowOnFailure();
    }

    private static ExchangeOrder Order(long sequence, double ms, string slot) => new(sequence, DateTimeOffset.UnixEpoch.AddMilliseconds(ms), slot, "company");
}
