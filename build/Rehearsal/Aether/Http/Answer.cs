using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Rehearsal.Aether.Http;

/// <summary>What a handler answers: a status and a JSON body, or text of another type.</summary>
internal sealed record Answer(int Status, JsonNode? Body, string? Text = null, string ContentType = "application/json")
{
    /// <summary>JSON as the platform's framework writes it, without escapes for HTML.</summary>
    public static readonly JsonSerializerOptions Plainly = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Answer Ok(JsonNode body) => new(200, body);

    public static Answer Plain(string text, string contentType) => new(200, null, text, contentType);
}

/// <summary>An HTTP error in the platform's form, <c>{"detail": …}</c>.</summary>
internal sealed class Refusal : Exception
{
    public Refusal(int status, string detail)
        : this(status, JsonValue.Create(detail))
    {
    }

    public Refusal(int status, JsonNode detail)
        : base(detail.ToString())
    {
        Status = status;
        Detail = detail;
    }

    public int Status { get; }

    public JsonNode Detail { get; }
}
