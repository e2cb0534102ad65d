using Rollout.Monitoring;

namespace Rollout.Tests.Monitoring;

[Parallelizable(ParallelScope.All)]
public sealed class PrometheusTextTests
{
    [TestCase("up 1", "up", 1)]
    [TestCase("up{} 1", "up", 1)]
    [TestCase("up{job=\"a\",} 1.5e3", "up{job=a}", 1500)]
    [TestCase("up{ b = \"2\" , a=\"1\" } 7 1700000000000", "up{a=1,b=2}", 7)]
    [TestCase("up{a=\"x}y,z= \\\"q\\\" \\\\ \"} -3", "up{a=x}y,z= \"q\" \\ }", -3)]
    [TestCase("latency_bucket{le=\"+Inf\"} 12 # {trace_id=\"abc\"} 0.67", "latency_bucket{le=+Inf}", 12)]
    [TestCase("q +Inf", "q", double.PositiveInfinity)]
    [TestCase("q -Inf", "q", double.NegativeInfinity)]
    [TestCase("q NaN", "q", double.NaN)]
    [TestCase("  q\t3\r", "q", 3)]
    public void A_sample_is_read(string line, string series, double value)
    {
        var samples = PrometheusText.Parse($"# HELP x y\n{line}\n");
        Assert.That(samples, Has.Count.EqualTo(1));
        Assert.That(samples[0].Series, Is.EqualTo(series));
        Assert.That(samples[0].Value, Is.EqualTo(value));
    }

    [TestCase("")]
    [TestCase("# TYPE up gauge")]
    [TestCase("<html><body>Bad Gateway</body></html>")]
    [TestCase("up")]
    [TestCase("up{")]
    [TestCase("up{a=\"1\" 5")]
    [TestCase("up{a=\"1} 5")]
    [TestCase("up{a=1} 5")]
    [TestCase("up five")]
    [TestCase("up-total 5")]
    [TestCase("9up 5")]
    [TestCase("{a=\"1\"} 5")]
    public void Garbage_is_left_out(string line)
    {
        Assert.That(PrometheusText.Parse(line + "\nok 1\n").Select(s => s.Name), Is.EqualTo(new[] { "ok" }));
    }

    [Test]
    public void Garbage_never_throws()
    {
        var random = new Random(7);
        const string Alphabet = "up{}=\",\\ \n#1.eE+-NaInf\tä";
        for (var i = 0; i < 2000; i++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(60)).Select(_ => Alphabet[random.Next(Alphabet.Length)]));
            Assert.That(() => PrometheusText.Parse(text), Throws.Nothing, text);
        }
    }

    [TestCase("# TYPE orders histogram", "orders", true)]
    [TestCase("orders_count{a=\"1\"} 5", "orders_count", true)]
    [TestCase("# TYPE orders_total counter", "orders", false)]
    [TestCase("# HELP orders said", "orders", false)]
    public void A_page_declares_what_it_types_or_samples(string text, string metric, bool declared)
    {
        Assert.That(PrometheusText.Declares(text, metric), Is.EqualTo(declared));
    }
}
