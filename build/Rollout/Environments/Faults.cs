using System.Net.Http.Headers;

namespace Rollout.Environments;

/// <summary>Sets named misbehaviours in a rehearsal's world: a drill.</summary>
public static class Faults
{
    /// <param name="fault"><c>NAME</c> or <c>NAME=ARGUMENT</c>.</param>
    /// <exception cref="RolloutException">Exit code 2: the world knows no such fault; the message lists those it knows.</exception>
    public static async Task SetAsync(Uri control, Secret token, string fault, CancellationToken cancellationToken)
    {
        var parts = fault.Split('=', 2);
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token.Reveal());
        using var content = new StringContent(parts.Length > 1 ? parts[1] : string.Empty);
        using var answer = await http.PutAsync(new Uri(control, $"/faults/{Uri.EscapeDataString(parts[0])}"), content, cancellationToken);
        if (!answer.IsSuccessStatusCode)
        {
            throw new RolloutException(
                $"The world does not take the fault '{fault}': {await answer.Content.ReadAsStringAsync(cancellationToken)}", null, ExitCode.BadSettings);
        }
    }

    /// <summary>Ends all misbehaviours.</summary>
    public static async Task ClearAsync(Uri control, Secret token, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token.Reveal());
        using var answer = await http.DeleteAsync(new Uri(control, "/faults"), cancellationToken);
        answer.EnsureSuccessStatusCode();
    }
}
