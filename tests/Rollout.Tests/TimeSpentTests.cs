using Microsoft.Extensions.Time.Testing;

namespace Rollout.Tests;

public sealed class TimeSpentTests
{
    private readonly FakeTimeProvider _time = new();

    [Test]
    public async Task Time_is_told_apart_by_what_it_was_spent_on()
    {
        var spent = TimeSpent.Begin(_time);
        Pass(1);
        using (TimeSpent.Polling())
        {
            Pass(2);
            await Task.Run(() =>
            {
                using var waiting = TimeSpent.Waiting();
                Pass(4);
            });
            Pass(8);
        }

        Pass(16);
        Assert.That(spent.Read(), Is.EqualTo((Seconds(31), Seconds(4), Seconds(10))));
    }

    [Test]
    public void Several_at_once_count_once()
    {
        var spent = TimeSpent.Begin(_time);
        using var one = TimeSpent.Polling();
        using var two = TimeSpent.Polling();
        Pass(3);
        Assert.That(spent.Read().Polling, Is.EqualTo(Seconds(3)));
    }

    [Test]
    public async Task What_nobody_measures_is_measured_nowhere()
    {
        using var waiting = TimeSpent.Waiting();
        var pause = Waiting.PauseAsync(Seconds(1), _time, CancellationToken.None);
        Pass(1);
        await pause;
        Assert.That(TimeSpent.Begin(_time).Read().Waiting, Is.EqualTo(TimeSpan.Zero));
    }

    private void Pass(int seconds) => _time.Advance(Seconds(seconds));

    private static TimeSpan Seconds(int seconds) => TimeSpan.FromSeconds(seconds);
}
