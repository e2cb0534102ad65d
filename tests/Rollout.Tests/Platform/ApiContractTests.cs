using System.Text.Json.Nodes;
using Rollout.Platform;

namespace Rollout.Tests.Platform;

public sealed class ApiContractTests
{
    private const string Order = """
        {"type":"object","required":["qty"],"properties":{
            "qty":{"type":"number"}, "note":{"anyOf":[{"type":"string"},{"type":"null"}]}, "side":{"type":"string","enum":["buy","sell"]},
            "legs":{"type":"array","items":{"$ref":"#/components/schemas/Order"}}}}
        """;

    private const string Fill = """{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"price":{"type":"number","format":"double"}}}""";

    private static readonly string Live = Document(Order, Fill);

    [Test]
    public void A_contract_is_no_change_to_itself() => Assert.That(Changes(Live), Is.Empty);

    [TestCase("/oms/place", "/oms/order", "oms POST /oms/place is gone")]
    [TestCase("\"get\"", "\"head\"", "oms GET /orders/{} is gone")]
    [TestCase("\"required\":[\"qty\"]", "\"required\":[\"qty\",\"note\"]", "oms POST /oms/place: request.note is required now")]
    [TestCase("\"required\":[\"qty\"],\"properties\":{", "\"required\":[\"qty\",\"tif\"],\"properties\":{\"tif\":{\"type\":\"string\"},", "oms POST /oms/place: request.tif is new and required")]
    [TestCase("\"qty\":{\"type\":\"number\"}", "\"qty\":{\"type\":\"string\"}", "oms POST /oms/place: request.qty was number and is string")]
    [TestCase("\"qty\":{\"type\":\"number\"}", "\"qty\":{\"type\":\"integer\"}", "oms POST /oms/place: request.qty was number and is integer")]
    [TestCase("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "{\"type\":\"string\"}", "oms POST /oms/place: request.note was null or string and is string")]
    [TestCase("[\"buy\",\"sell\"]", "[\"buy\"]", "oms POST /oms/place: request.side takes only \"buy\" now")]
    [TestCase("\"id\":{\"type\":\"integer\"}", "\"id\":{\"type\":\"string\"}", "oms GET /orders/{}: answer 200.id was integer and is string")]
    [TestCase("\"id\":{\"type\":\"integer\"}", "\"id\":{\"type\":\"number\"}", "oms GET /orders/{}: answer 200.id was integer and is number")]
    [TestCase("\"format\":\"double\"", "\"format\":\"decimal\"", "oms GET /orders/{}: answer 200.price was number (double) and is number (decimal)")]
    [TestCase(",\"price\":{\"type\":\"number\",\"format\":\"double\"}", "", "oms GET /orders/{}: answer 200.price is gone")]
    [TestCase("\"required\":[\"id\"]", "\"required\":[]", "oms GET /orders/{}: answer 200.id may be missing now")]
    [TestCase("\"in\":\"query\",\"required\":false", "\"in\":\"query\",\"required\":true", "oms GET /orders/{}: query parameter limit is required now")]
    [TestCase("\"name\":\"limit\"", "\"name\":\"page\"", null)]
    [TestCase("\"200\"", "\"201\"", "oms GET /orders/{}: answer 200 is gone")]
    [TestCase("application/json", "text/csv", "oms GET /orders/{}: answer 200 as application/json is gone")]
    [TestCase("\"requestBody\":{\"required\":false", "\"requestBody\":{\"required\":true", "oms PUT /notes: request is required now")]
    public void What_a_client_of_live_may_fail_at_is_breaking(string part, string becomes, string? expected)
    {
        var changes = Changes(Live.Replace(part, becomes, StringComparison.Ordinal));
        Assert.That(changes, Is.Not.Empty, "the document did change");
        Assert.That(changes.Where(c => c.Breaks).Select(c => c.Id), expected is null ? Is.Empty : Does.Contain(expected));
    }

    [TestCase("\"required\":[\"qty\"],\"properties\":{", "\"required\":[],\"properties\":{\"tif\":{\"type\":\"string\"},", TestName = "Fields_that_may_be_sent")]
    [TestCase("[\"buy\",\"sell\"]", "[\"buy\",\"sell\",\"short\"]", TestName = "Values_that_are_taken")]
    [TestCase("\"properties\":{\"id\"", "\"properties\":{\"fee\":{\"type\":\"number\"},\"id\"", TestName = "Fields_that_are_answered")]
    [TestCase("/orders/{order_id}", "/orders/{id}", TestName = "The_name_of_a_parameter_in_the_path")]
    [TestCase("\"qty\":{\"type\":\"number\"}", "\"qty\":{\"type\":[\"number\",\"string\"]}", TestName = "Types_that_are_taken")]
    [TestCase("\"paths\":{", "\"paths\":{\"//alerts/prioritized\":{\"get\":{}},", TestName = "A_malformed_path_that_is_new")]
    [TestCase("\"title\":\"Order\"", "\"title\":\"Another\"", TestName = "A_title")]
    public void What_a_client_of_live_does_not_notice_is_not(string part, string becomes)
    {
        var changes = Changes(Live.Replace(part, becomes, StringComparison.Ordinal));
        Assert.That(changes.Where(c => c.Breaks), Is.Empty);
    }

    [TestCase("", "no JSON")]
    [TestCase("<html>", "no JSON")]
    [TestCase("[]", "no object")]
    [TestCase("{\"a\":1,\"a\":2,\"paths\":{}}", "no JSON")]
    [TestCase("{\"openapi\":\"3.1.0\"}", "has no paths")]
    public void What_is_no_contract_is_told(string text, string why) =>
        Assert.That(Assert.Throws<FormatException>(() => ApiContract.Parse(text))!.Message, Does.Contain(why));

    [Test]
    public void One_that_is_too_large_is_not_read() =>
        Assert.That(Assert.Throws<FormatException>(() => ApiContract.Parse(new string(' ', ApiContract.Largest + 1)))!.Message, Does.Contain("more than"));

    [TestCase("{\"paths\":{\"/a\":null,\"/b\":{\"get\":{\"parameters\":[null,{\"$ref\":\"#/none\"},7],\"responses\":{\"200\":7}}}},\"components\":null}")]
    [TestCase("{\"paths\":{\"/b\":{\"post\":{\"requestBody\":{\"$ref\":\"#/paths/~1b/post/requestBody\"},\"responses\":[]}}}}")]
    [TestCase("{\"paths\":{\"/b\":{\"post\":{\"requestBody\":{\"content\":{\"x\":{\"schema\":{\"allOf\":[{\"$ref\":\"#/components/schemas/S\"}]}}}}}}},\"components\":{\"schemas\":{\"S\":{\"allOf\":[{\"$ref\":\"#/components/schemas/S\"}]}}}}")]
    public void A_hostile_one_ends(string text) => Assert.That(() => ApiContract.Parse(text).ChangesTo(ApiContract.Parse(text), "x"), Throws.Nothing);

    private static IReadOnlyList<ApiChange> Changes(string candidate) => ApiContract.Parse(Live).ChangesTo(ApiContract.Parse(candidate), "oms");

    private static string Document(string order, string fill) => JsonNode.Parse($$$$$$"""
        {"openapi":"3.1.0","info":{"title":"Order","version":"stub"},"paths":{
          "/oms/place":{"post":{"requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Order"}}} },
            "responses":{"200":{"description":"ok"}}}},
          "/orders/{order_id}":{"parameters":[{"name":"order_id","in":"path","required":true,"schema":{"type":"string"}}],
            "get":{"parameters":[{"name":"limit","in":"query","required":false,"schema":{"type":"integer"}}],
              "responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Fill"}}} } } } },
          "/notes":{"put":{"requestBody":{"required":false,"content":{"text/plain":{"schema":{"type":"string"}}} },"responses":{"204":{} } } } },
         "components":{"schemas":{"Order":{{{{{{order}}}}}},"Fill":{{{{{{fill}}}}}}} } }
        """)!.ToJsonString();
}
