using System.Text.Json.Nodes;
using Rehearsal.Cluster;

namespace Rehearsal.Tests.Cluster;

public sealed class PatchTests
{
    [TestCase(
        """{"a":1,"b":{"c":2,"d":3}}""",
        """{"b":{"c":null,"e":4}}""",
        """{"a":1,"b":{"d":3,"e":4}}""",
        TestName = "Merge_removes_nulls_and_merges_objects")]
    [TestCase("""{"l":[1,2]}""", """{"l":[3]}""", """{"l":[3]}""", TestName = "Merge_replaces_lists")]
    [TestCase("""{}""", """{"a":{"b":null,"c":1}}""", """{"a":{"c":1}}""", TestName = "Merge_leaves_no_nulls_in_new_objects")]
    public void Merge_patch(string target, string patch, string expected)
    {
        var value = TestCluster.Object(target);
        JsonPatch.Merge(value, TestCluster.Object(patch));
        AssertSame(value, expected);
    }

    [TestCase("""{"a":1}""", """[{"op":"add","path":"/b","value":2}]""", """{"a":1,"b":2}""")]
    [TestCase("""{"l":[1,3]}""", """[{"op":"add","path":"/l/1","value":2},{"op":"add","path":"/l/-","value":4}]""", """{"l":[1,2,3,4]}""")]
    [TestCase("""{"l":[1,2,3]}""", """[{"op":"remove","path":"/l/0"},{"op":"replace","path":"/l/0","value":9}]""", """{"l":[9,3]}""")]
    [TestCase(
        """{"a":"x"}""",
        """[{"op":"copy","from":"/a","path":"/b"},{"op":"move","from":"/a","path":"/c"}]""",
        """{"b":"x","c":"x"}""")]
    [TestCase(
        """{"a/b":{"m~n":1}}""",
        """[{"op":"test","path":"/a~1b/m~0n","value":1},{"op":"replace","path":"/a~1b/m~0n","value":2}]""",
        """{"a/b":{"m~n":2}}""")]
    public void Json_patch(string target, string patch, string expected) =>
        AssertSame(JsonPatch.Apply(TestCluster.Object(target), (JsonArray)JsonNode.Parse(patch)!), expected);

    [TestCase("""[{"op":"test","path":"/a","value":9}]""")]
    [TestCase("""[{"op":"remove","path":"/nonesuch"}]""")]
    [TestCase("""[{"op":"add","path":"/nonesuch/x","value":1}]""")]
    [TestCase("""[{"op":"replace","path":"/l/7","value":1}]""")]
    [TestCase("""[{"op":"add","path":"/b"}]""")]
    public void A_json_patch_that_does_not_apply_is_422(string patch)
    {
        var refused = Assert.Throws<ApiException>(
            () => JsonPatch.Apply(TestCluster.Object("""{"a":1,"l":[1]}"""), (JsonArray)JsonNode.Parse(patch)!));
        Assert.That((refused!.Code, refused.Message), Is.EqualTo((422, "the server rejected our request due to an error in our request")));
    }

    [TestCase(
        """{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}""",
        """{"containers":[{"name":"b","image":"2"},{"name":"c","image":"1"}]}""",
        """{"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"},{"name":"c","image":"1"}]}""",
        TestName = "Strategic_merges_containers_by_name")]
    [TestCase(
        """{"containers":[{"name":"a","env":[{"name":"X","value":"1"},{"name":"Y","value":"2"}]}]}""",
        """{"containers":[{"name":"a","env":[{"name":"X","$patch":"delete"}]}]}""",
        """{"containers":[{"name":"a","env":[{"name":"Y","value":"2"}]}]}""",
        TestName = "Strategic_deletes_an_element")]
    [TestCase(
        """{"containers":[{"name":"a"},{"name":"b"}]}""",
        """{"containers":[{"$patch":"replace"},{"name":"c"}]}""",
        """{"containers":[{"name":"c"}]}""",
        TestName = "Strategic_replaces_a_list")]
    [TestCase(
        """{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}""",
        """{"$setElementOrder/containers":[{"name":"c"},{"name":"a"}],"containers":[{"name":"a","image":"1"}]}""",
        """{"containers":[{"name":"b"},{"name":"c"},{"name":"a","image":"1"}]}""",
        TestName = "Strategic_orders_elements_and_keeps_the_servers_own_in_place")]
    [TestCase(
        """{"nodeSelector":{"a":"1","b":"2"},"tolerations":[{"key":"x"}]}""",
        """{"nodeSelector":{"b":null,"c":"3"},"tolerations":[{"key":"y"}]}""",
        """{"nodeSelector":{"a":"1","c":"3"},"tolerations":[{"key":"y"}]}""",
        TestName = "Strategic_merges_maps_and_replaces_lists_without_a_key")]
    [TestCase(
        """{"volumes":[{"name":"v","emptyDir":{}}]}""",
        """{"volumes":[{"$retainKeys":["name","configMap"],"name":"v","configMap":{"name":"m"}}]}""",
        """{"volumes":[{"name":"v","configMap":{"name":"m"}}]}""",
        TestName = "Strategic_keeps_only_the_retained_keys")]
    [TestCase(
        """{"securityContext":{"runAsUser":1,"fsGroup":2}}""",
        """{"securityContext":{"$patch":"replace","fsGroup":3}}""",
        """{"securityContext":{"fsGroup":3}}""",
        TestName = "Strategic_replaces_a_map")]
    public void Strategic_merge_patch(string target, string patch, string expected)
    {
        var value = TestCluster.Object(target);
        StrategicMergePatch.Apply(ApiTypes.Find("PodSpec")!, value, TestCluster.Object(patch));
        AssertSame(value, expected);
    }

    [Test]
    public void Strategic_deletes_from_lists_of_plain_values()
    {
        var value = TestCluster.Object("""{"metadata":{"name":"x","finalizers":["a/b","c/d"]}}""");
        StrategicMergePatch.Apply(
            ApiTypes.Find("ConfigMap")!,
            value,
            TestCluster.Object("""{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"],"finalizers":["e/f"]}}"""));
        AssertSame(value, """{"metadata":{"name":"x","finalizers":["c/d","e/f"]}}""");
    }

    private static void AssertSame(JsonNode actual, string expected) =>
        Assert.That(JsonNode.DeepEquals(actual, JsonNode.Parse(expected)), $"expected {expected}\nwas      {actual.ToJsonString()}");
}
