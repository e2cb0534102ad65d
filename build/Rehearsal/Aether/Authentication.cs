using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Rehearsal.Aether.Http;

namespace Rehearsal.Aether;

/// <summary>Who calls, as the session store knows it.</summary>
internal sealed record Session(string Token, string Account, DateTimeOffset ExpiresAt);

/// <summary>
/// The platform's session check. Sessions lie in Redis under the raw token, so a slot knows exactly the sessions of the Redis
/// its environment names.
/// </summary>
internal sealed class Authentication(Pod pod)
{
    private string? Store =>
        pod.Struck("session-store-missing") ? null : pod.Env("SESSION_REDIS_URL", "SESSION_STORE_URL", "SESSION_BACKEND_DSN");

    /// <exception cref="Refusal">401, 403, or 500 without session store or allowlists.</exception>
    public async Task<Session> RequireAdminAsync(Call call)
    {
        var session = await RequireSessionAsync(call);
        var admins = pod.List("ADMIN_ALLOWLIST");
        if (admins.Count == 0 || pod.List("DIRECTOR_ALLOWLIST").Count == 0)
        {
            throw new Refusal(500, "Account allowlists are not configured.");
        }

        return Lists(admins, session.Account) ? session : throw new Refusal(403, "Account is not authorized for administrative access.");
    }

    /// <summary>An admin call that must also be approved by two sessions of two different directors.</summary>
    /// <exception cref="Refusal">As <see cref="RequireAdminAsync"/>; 403 without the approvals.</exception>
    public async Task<Session> RequireDirectorApprovalsAsync(Call call)
    {
        var session = await RequireAdminAsync(call);
        var tokens = (call.Header("X-Director-Approvals") ?? "").Split(
            ',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var directors = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var token in tokens)
        {
            if (await FindAsync(token, call.Aborted) is { } approval && Lists(pod.List("DIRECTOR_ALLOWLIST"), approval.Account))
            {
                directors.Add(approval.Account);
            }
        }

        return directors.Count >= 2 ? session : throw new Refusal(403, "Two distinct director approvals are required.");
    }

    /// <exception cref="Refusal">401 when the call carries no second factor.</exception>
    public static void RequireSecondFactor(Call call)
    {
        if (!string.Equals(call.Header("X-MFA-Token"), "verified", StringComparison.Ordinal))
        {
            throw new Refusal(401, "Multi-factor authentication is required.");
        }
    }

    /// <exception cref="Refusal">403 when the body speaks for another account than the session's.</exception>
    public static void RequireSameAccount(Session session, string? account)
    {
        if (!string.Equals(session.Account, account, StringComparison.OrdinalIgnoreCase))
        {
            throw new Refusal(403, "Account mismatch between authenticated session and request.");
        }
    }

    /// <summary>Opens a session and stores it with its expiry.</summary>
    public async Task<Session> OpenAsync(string account, CancellationToken ct)
    {
        var minutes = int.TryParse(pod.Env("SESSION_TTL_MINUTES"), CultureInfo.InvariantCulture, out var set) && set > 0 ? set : 60;
        var store = Store ?? throw new Refusal(500, "Authentication session store is not configured.");
        var token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        var session = new Session(token, account, pod.Time.GetUtcNow().AddMinutes(minutes));
        var stored = new JsonObject
        {
            ["account_id"] = account,
            ["expires_at"] = session.ExpiresAt.ToString("o", CultureInfo.InvariantCulture),
        };
        var database = await pod.World.Redis.OpenAsync(store, ct);
        await database.StringSetAsync(token, stored.ToJsonString(), TimeSpan.FromMinutes(minutes)).WaitAsync(ct);
        return session;
    }

    private static bool Lists(IReadOnlyList<string> allowed, string account) => allowed.Contains(account, StringComparer.OrdinalIgnoreCase);

    private async Task<Session> RequireSessionAsync(Call call)
    {
        if (Store is null)
        {
            throw new Refusal(500, "Authentication session store is not configured.");
        }

        var header = (call.Header("Authorization") ?? "").Trim();
        var token = header.StartsWith("Bearer", StringComparison.OrdinalIgnoreCase) ? header["Bearer".Length..].Trim() : header;
        if (token.Length == 0)
        {
            throw new Refusal(401, "Missing or empty Authorization header.");
        }

        var session = await FindAsync(token, call.Aborted) ?? throw new Refusal(401, "Invalid or expired session token.");
        return call.Header("X-Account-ID") is { } claimed
            && !string.Equals(claimed.Trim(), session.Account, StringComparison.OrdinalIgnoreCase)
            ? throw new Refusal(403, "Account header does not match the authenticated session.")
            : session;
    }

    private async Task<Session?> FindAsync(string token, CancellationToken ct)
    {
        var database = await pod.World.Redis.OpenAsync(
            Store ?? throw new Refusal(500, "Authentication session store is not configured."), ct);
        string? stored = await database.StringGetAsync(token).WaitAsync(ct);
        if (stored is null)
        {
            return null;
        }

        try
        {
            var session = JsonNode.Parse(stored);
            var account = session?["account_id"]?.GetValue<string>();
            var expiry = session?["expires_at"]?.GetValue<string>();
            return account is not null
                && DateTimeOffset.TryParse(expiry, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var expires)
                && expires > pod.Time.GetUtcNow()
                ? new Session(token, account, expires)
                : null;
        }
        catch (Exception malformed) when (malformed is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
