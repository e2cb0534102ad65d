using System.Globalization;
using System.Text;
using Rollout.Monitoring;
using Rollout.Tests.Support;
using Rollout.Tools;

namespace Rollout.Tests.Monitoring;

/// <summary>
/// Each drill's watch as 3.3 does it, against a stack made of seeded noise: the real watch and the real judge, a clock that does not wait, and pods that
/// misbehave as the drill has it. Each round ends as the drill must.
/// </summary>
[Parallelizable(ParallelScope.All)]
public sealed class DrillRoundsTests
{
    private const int Rounds = 50;
    private const string Health = "no fault";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private static IEnumerable<string> Drills => Drill.Known.Select(d => d.Name).Append(Health);

    [TestCaseSource(nameof(Drills))]
    public async Task Every_round_of_a_drill_ends_as_it_must(string drill)
    {
        var wanted = drill == Health ? DrillEnd.Done : Drill.Of(drill).Ends;
        var ends = new List<(DrillEnd End, Judgement Judgement, double Seconds)>();
        for (var seed = 1; seed <= Rounds; seed++)
        {
            ends.Add(await RoundAsync(drill, seed));
        }

        var right = ends.Count(e => e.End == wanted);
        var row = string.Create(CultureInfo.InvariantCulture, $"{drill,-18} {wanted,-11} {right,3} of {Rounds}   decided after {ends.Min(e => e.Seconds):0}–{ends.Max(e => e.Seconds):0} s   {string.Join(", ", ends.Select(e => e.Judgement.Reason).Distinct())}");
        TestContext.Progress.WriteLine(row);
        Assert.That(right, Is.EqualTo(Rounds), () => $"{row}\n{string.Join('\n', ends.Where(e => e.End != wanted).Take(3).Select(e => e.Judgement.Message))}");
    }

    private static async Task<(DrillEnd End, Judgement Judgement, double Seconds)> RoundAsync(string drill, int seed)
    {
        var random = new Random(seed);
        var time = new HastyTime(deadline: 10);
        var baseline = await new TrafficWatch(new Stack(random, time, Health), "blue", "live", time, new Reports()).WatchAsync(
            new WatchPlan { Interval = Interval, Evaluations = 0, MinimumScrapes = 25 }, CancellationToken.None);
        var stack = new Stack(random, time, drill);
        var began = time.GetTimestamp();
        var watch = await new TrafficWatch(stack, "green", "candidate", time, new Reports()).WatchAsync(
            new WatchPlan
            {
                Interval = Interval,
                MinimumScrapes = WatchPlan.ScrapesFor(baseline.Samples.Services.Values.Max(s => s.Count)),
                EvaluationInterval = TimeSpan.FromSeconds(60),
                Judge = (samples, whole) => SteadinessJudge.Judge(baseline.Samples, samples, new JudgeThresholds(), newestOnly: !whole),
                Health = _ => Task.FromResult<IReadOnlyDictionary<string, string>?>(stack.Unhealthy),
            },
            CancellationToken.None);
        var judgement = watch.Samples.Verdict!;
        return (
            judgement.Verdict switch { Verdict.Successful => DrillEnd.Done, Verdict.Failed => DrillEnd.RolledBack, _ => DrillEnd.Held },
            judgement,
            time.GetElapsedTime(began).TotalSeconds);
    }

    /// <summary>Seven services that count what they answer, from half a request a second to twenty.</summary>
    private sealed class Stack : IMetricsSource
    {
        private const string Sick = "risk-service";
        private static readonly (string Name, double Rate, double Median)[] Platform =
        [
            ("admin-platform", 2, 0.03), ("oms-service", 20, 0.04), ("policy-service", 15, 0.035), (Sick, 15, 0.035), ("fees-service", 5, 0.02), ("universe-service", 2, 0.05), ("report-service", 0.5, 0.03),
        ];

        private static readonly double[] Bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

        private readonly Random _random;
        private readonly TimeProvider _time;
        private readonly string _drill;
        private readonly long _began;
        private readonly Dictionary<string, (long[] Good, long Bad)> _counted = Platform.ToDictionary(p => p.Name, _ => (new long[Bounds.Length + 1], 0L));
        private double _evaluations;
        private TimeSpan _last;
        private bool _reset;

        public Stack(Random random, TimeProvider time, string drill)
        {
            (_random, _time, _drill, _began) = (random, time, drill, time.GetTimestamp());
        }

        public string Name => "scrape";

        public bool CatchesUp => false;

        public IReadOnlyDictionary<string, string> Queries { get; } = new Dictionary<string, string>();

        public IReadOnlyDictionary<string, string> Unhealthy => _drill is "one-service-down" or "unhealthy-200"
            ? new Dictionary<string, string> { [Sick] = $"{Sick} is not as on live." }
            : new Dictionary<string, string>();

        public Task<IReadOnlyList<Reading>> ReadAsync(CancellationToken cancellationToken)
        {
            var now = _time.GetElapsedTime(_began);
            Serve(now, now - _last);
            _last = now;
            if (_drill == "counter-reset" && !_reset && now > TimeSpan.FromSeconds(40))
            {
                _reset = true;
                foreach (var name in _counted.Keys)
                {
                    _counted[name] = (new long[Bounds.Length + 1], 0);
                }

                _evaluations = 0;
            }

            return Task.FromResult<IReadOnlyList<Reading>>([new Reading(_time.GetUtcNow(), [.. Platform.Select(p => Page(p.Name))])]);
        }

        private void Serve(TimeSpan now, TimeSpan since)
        {
            _evaluations += _drill == "scaling-stalled" ? 0 : since.TotalSeconds / 60;
            foreach (var (name, rate, median) in Platform)
            {
                var (good, bad) = _counted[name];
                var slower = _drill switch { "latency-spike" => 0.1, "slow-leak" => 0.02 * now.TotalSeconds, _ => 0 };
                var wander = Math.Exp(0.08 * Gauss());
                for (var n = (int)Math.Round((rate * since.TotalSeconds) + (Math.Sqrt(rate * since.TotalSeconds) * Gauss())); n > 0; n--)
                {
                    if (_random.NextDouble() < (_drill == "error-spike" ? 0.05 : 0.001))
                    {
                        bad++;
                    }
                    else
                    {
                        var seconds = (median * wander * Math.Exp(0.6 * Gauss())) + slower;
                        var bound = Array.FindIndex(Bounds, b => seconds <= b);
                        good[bound < 0 ? Bounds.Length : bound]++;
                    }
                }

                _counted[name] = (good, bad);
            }
        }

        private PodScrape Page(string name)
        {
            if (_drill == "no-metrics" || (_drill == "one-service-down" && name == Sick))
            {
                return new PodScrape($"{name}-0", name, "1", _drill == "no-metrics" ? ScrapeOutcome.Absent : ScrapeOutcome.Unreadable, "gives none", string.Empty);
            }

            var text = new StringBuilder();
            var (good, bad) = _counted[name];
            Histogram("200", good);
            if (bad > 0)
            {
                Histogram("500", [bad, .. new long[Bounds.Length]]);
            }

            if (name == "admin-platform")
            {
                text.Append(CultureInfo.InvariantCulture, $"scaling_evaluations_total {Math.Floor(_evaluations)}\n");
            }

            return new PodScrape($"{name}-0", name, "1", ScrapeOutcome.Read, string.Empty, text.ToString());

            void Histogram(string status, IReadOnlyList<long> counts)
            {
                var sum = 0L;
                for (var i = 0; i <= Bounds.Length; i++)
                {
                    sum += counts[i];
                    var bound = i < Bounds.Length ? Bounds[i].ToString("R", CultureInfo.InvariantCulture) : "+Inf";
                    text.Append(CultureInfo.InvariantCulture, $"http_request_duration_seconds_bucket{{service=\"{name}\",status_code=\"{status}\",le=\"{bound}\"}} {sum}\n");
                }

                text.Append(CultureInfo.InvariantCulture, $"http_request_duration_seconds_count{{service=\"{name}\",status_code=\"{status}\"}} {sum}\n");
            }
        }

        private double Gauss() => Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())) * Math.Cos(2 * Math.PI * _random.NextDouble());
    }
}
