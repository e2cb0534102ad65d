namespace Rollout.Monitoring;

/// <summary>How sure one can be that numbers differ: the tests that the judge rests on. All are one-sided; all p-values are 0 to 1.</summary>
public static class Evidence
{
    // Above this product of sample sizes the normal approximation is as good as the exact distribution and much cheaper.
    private const int ExactUpTo = 1200;

    private static readonly System.Collections.Concurrent.ConcurrentDictionary<(int, int), double[]> Tails = new();

    /// <summary>The Mann–Whitney U test of "<paramref name="observed"/> tends to be larger than <paramref name="baseline"/>": exact where there are no
    /// ties, else the normal approximation with the corrections for ties and continuity, as R's <c>wilcox.test</c> does it.</summary>
    public static RankTest MannWhitney(IReadOnlyList<double> observed, IReadOnlyList<double> baseline)
    {
        ArgumentNullException.ThrowIfNull(observed);
        ArgumentNullException.ThrowIfNull(baseline);
        var (m, n) = (observed.Count, baseline.Count);
        if (m == 0 || n == 0)
        {
            return new RankTest(m, n, double.NaN, double.NaN, double.NaN, double.NaN);
        }

        var all = observed.Select(v => (Value: v, Mine: true)).Concat(baseline.Select(v => (Value: v, Mine: false))).OrderBy(v => v.Value).ToList();
        var (ranks, ties) = (0.0, 0.0);
        for (var i = 0; i < all.Count;)
        {
            var end = i;
            while (end < all.Count && all[end].Value.Equals(all[i].Value))
            {
                end++;
            }

            double tied = end - i;
            ties += (tied * tied * tied) - tied;
            ranks += all.Skip(i).Take(end - i).Count(v => v.Mine) * ((i + 1 + end) / 2.0);
            i = end;
        }

        var u = ranks - (m * (m + 1) / 2.0);
        var effect = (2 * u / ((double)m * n)) - 1;
        if (ties == 0 && m * n <= ExactUpTo)
        {
            var tail = Tails.GetOrAdd((Math.Min(m, n), Math.Max(m, n)), ExactTail);
            var greater = tail[(int)u];
            var less = tail[(m * n) - (int)u];
            return new RankTest(m, n, u, effect, greater, Math.Min(1, 2 * Math.Min(greater, less)));
        }

        double total = m + n;
        var deviation = Math.Sqrt(m * (double)n / 12 * (total + 1 - (ties / (total * (total - 1)))));
        if (deviation == 0)
        {
            return new RankTest(m, n, u, effect, 1, 1);
        }

        var distance = u - (m * (double)n / 2);
        return new RankTest(
            m, n, u, effect, NormalTail((distance - 0.5) / deviation), Math.Min(1, 2 * NormalTail((Math.Abs(distance) - 0.5) / deviation)));
    }

    /// <summary>The smallest p that a Mann–Whitney test of these sizes can reach: where it is above the level, no data could show anything.</summary>
    public static double SmallestP(int observed, int baseline) =>
        observed == 0 || baseline == 0 ? 1 : Math.Exp(LogFactorial(observed) + LogFactorial(baseline) - LogFactorial(observed + baseline));

    /// <summary>How probable at least <paramref name="hits"/> of <paramref name="count"/> are where each has <paramref name="probability"/>.</summary>
    public static double BinomialTail(double count, double probability, double hits)
    {
        var (n, k) = (Math.Round(count), Math.Round(hits));
        if (k <= 0)
        {
            return 1;
        }

        if (k > n || probability <= 0)
        {
            return 0;
        }

        if (probability >= 1)
        {
            return 1;
        }

        // Summed from the smaller end, so that neither a tail of 1e-30 nor a whole distribution is lost in rounding.
        return k > n * probability ? Sum(k, n, +1) : 1 - Sum(k - 1, n, -1);

        double Sum(double from, double all, int direction)
        {
            var sum = 0.0;
            for (var i = from; i >= 0 && i <= all; i += direction)
            {
                var term = Math.Exp(
                    LogFactorial(all) - LogFactorial(i) - LogFactorial(all - i) + (i * Math.Log(probability)) + ((all - i) * Math.Log(1 - probability)));
                sum += term;
                if (term < sum * 1e-12)
                {
                    break;
                }
            }

            return Math.Min(1, sum);
        }
    }

    /// <summary>
    /// The exact test of "hits are more frequent among the observed than in the baseline" for rare hits: given all hits, how many of them would fall
    /// among the observed if both had the same rate.
    /// </summary>
    public static double MoreFrequent(double hits, double count, double baselineHits, double baselineCount) =>
        count <= 0 || baselineCount <= 0 ? 1 : BinomialTail(hits + baselineHits, count / (count + baselineCount), hits);

    // How many of the arrangements have U of at least u: the recurrence of Mann and Whitney (1947).
    private static double[] ExactTail((int M, int N) size)
    {
        var (m, n) = size;
        var counts = new double[m + 1, (m * n) + 1];
        counts[0, 0] = 1;
        for (var j = 1; j <= m + n; j++)
        {
            for (var i = Math.Min(m, j); i >= 1; i--)
            {
                for (var u = m * n; u >= j - i && j - i <= n; u--)
                {
                    counts[i, u] += counts[i - 1, u - (j - i)];
                }
            }
        }

        var tail = new double[(m * n) + 2];
        var all = Enumerable.Range(0, (m * n) + 1).Sum(u => counts[m, u]);
        for (var u = m * n; u >= 0; u--)
        {
            tail[u] = tail[u + 1] + (counts[m, u] / all);
        }

        return tail;
    }

    private static double NormalTail(double z) => 0.5 * Erfc(z / Math.Sqrt(2));

    // Numerical Recipes' rational Chebyshev fit: relative error below 1.2e-7 everywhere.
    private static double Erfc(double x)
    {
        var t = 1 / (1 + (0.5 * Math.Abs(x)));
        var r = t * Math.Exp((-x * x) - 1.26551223 + (t * (1.00002368 + (t * (0.37409196 + (t * (0.09678418 + (t * (-0.18628806
            + (t * (0.27886807 + (t * (-1.13520398 + (t * (1.48851587 + (t * (-0.82215223 + (t * 0.17087277))))))))))))))))));
        return x >= 0 ? r : 2 - r;
    }

    private static double LogFactorial(double n)
    {
        if (n < 2)
        {
            return 0;
        }

        // Stirling's series; below 10 it is shifted up.
        var shift = 0.0;
        while (n < 10)
        {
            n++;
            shift += Math.Log(n);
        }

        return (n * Math.Log(n)) - n + (0.5 * Math.Log(2 * Math.PI * n)) + (1 / (12 * n)) - (1 / (360 * n * n * n)) + (1 / (1260 * Math.Pow(n, 5))) - shift;
    }
}

/// <summary>The result of a Mann–Whitney U test.</summary>
/// <param name="U">Of the observed: how many pairs the observed wins, ties counting half.</param>
/// <param name="Effect">The rank-biserial correlation, which is Cliff's delta: −1 (all smaller) to 1 (all larger).</param>
/// <param name="Greater">The p-value of "the observed is larger".</param>
/// <param name="TwoSided">The p-value of "they differ".</param>
public sealed record RankTest(int Observed, int Baseline, double U, double Effect, double Greater, double TwoSided);
