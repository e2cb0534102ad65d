using System.Text;
using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class ProtobufReaderTests
{
    [Test]
    public void A_secret_as_helm_sends_it()
    {
        var metadata = Message(
            (1, Text("sh.helm.release.v1.shop.v1")),
            (3, Text("test")),
            (11, Message((1, Text("owner")), (2, Text("helm")))),
            (11, Message((1, Text("version")), (2, Text("1")))));
        var read = ProtobufReader.Read(
            Envelope(
                "v1",
                "Secret",
                Message(
                    (1, metadata),
                    (2, Message((1, Text("release")), (2, new byte[] { 1, 2, 255 }))),
                    (3, Text("helm.sh/release.v1")))));
        AssertSame(read, """
            {"kind":"Secret","apiVersion":"v1","metadata":{"name":"sh.helm.release.v1.shop.v1","namespace":"test","labels":{"owner":"helm","version":"1"}},
             "data":{"release":"AQL/"},"type":"helm.sh/release.v1"}
            """);
    }

    [Test]
    public void Nested_messages_lists_numbers_and_inlined_types()
    {
        var probe = Message(
            (1, Message((2, Message((1, Text("/healthz")), (2, Message((1, Varint(1)), (3, Text("http")))))))),
            (4, Varint(7)));
        var container = Message((1, Text("web")), (2, Text("x:1")), (3, Text("sh")), (3, Text("-c")), (11, probe));
        var spec = Message((1, Varint(3)), (3, Message((2, Message((2, container))))));
        var read = ProtobufReader.Read(Envelope("apps/v1", "Deployment", Message((2, spec))));
        AssertSame(read, """
            {"kind":"Deployment","apiVersion":"apps/v1","spec":{"replicas":3,"template":{"spec":{"containers":[
             {"name":"web","image":"x:1","command":["sh","-c"],"readinessProbe":{"httpGet":{"path":"/healthz","port":"http"},"periodSeconds":7}}]}}}}
            """);
    }

    [Test]
    public void Delete_options_and_times()
    {
        AssertSame(
            ProtobufReader.Read(
                Envelope("v1", "DeleteOptions", Message((1, Varint(0)), (2, Message((1, Text("u")))), (4, Text("Background"))))),
            """{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"preconditions":{"uid":"u"},"propagationPolicy":"Background"}""");
        AssertSame(
            ProtobufReader.Read(
                Envelope("v1", "ConfigMap", Message((1, Message((8, Message((1, Varint(1_767_225_600)))), (9, Message())))))),
            """{"kind":"ConfigMap","apiVersion":"v1","metadata":{"creationTimestamp":"2026-01-01T00:00:00Z","deletionTimestamp":null}}""");
    }

    [Test]
    public void Unknown_fields_are_skipped()
    {
        var read = ProtobufReader.Read(Envelope("v1", "ConfigMap", Message((99, Text("later")), (98, Varint(5)), (4, Varint(1)))));
        AssertSame(read, """{"kind":"ConfigMap","apiVersion":"v1","immutable":true}""");
    }

    [TestCase(new byte[] { 1, 2, 3 })]
    [TestCase(new byte[] { (byte)'k', (byte)'8', (byte)'s', 0, 0x12, 0x7F, 1 })]
    public void Bytes_that_are_none_are_refused(byte[] body) => Assert.Throws<ShapeException>(() => ProtobufReader.Read(body));

    private static byte[] Envelope(string apiVersion, string kind, byte[] raw) =>
        [.. "k8s\0"u8, .. Message((1, Message((1, Text(apiVersion)), (2, Text(kind)))), (2, raw), (3, Text("")), (4, Text("")))];

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static ulong Varint(ulong value) => value;

    private static byte[] Message(params (int Number, object Value)[] fields)
    {
        var result = new List<byte>();
        foreach (var (number, value) in fields)
        {
            if (value is byte[] bytes)
            {
                Write(result, ((ulong)number << 3) | 2);
                Write(result, (ulong)bytes.Length);
                result.AddRange(bytes);
            }
            else
            {
                Write(result, (ulong)number << 3);
                Write(result, (ulong)value);
            }
        }

        return result.ToArray();
    }

    private static void Write(List<byte> target, ulong value)
    {
        while (value >= 0x80)
        {
            target.Add((byte)(value | 0x80));
            value >>= 7;
        }

        target.Add((byte)value);
    }

    private static void AssertSame(JsonNode actual, string expected) =>
        Assert.That(JsonNode.DeepEquals(actual, JsonNode.Parse(expected)), $"expected {expected}\nwas      {actual.ToJsonString()}");
}
