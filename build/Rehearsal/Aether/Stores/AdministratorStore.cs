using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Npgsql;

namespace Rehearsal.Aether.Stores;

/// <param name="MfaSecret">Base32, as authenticator apps take it; empty: no second factor.</param>
internal sealed record Administrator(string Email, string AdminId, string PasswordHash, string MfaSecret, IReadOnlyList<string> AllowedIps);

/// <summary>The table <c>admin_accounts</c>, and how its secrets are checked.</summary>
internal sealed class AdministratorStore(NpgsqlDataSource database)
{
    private const int Iterations = 20_000;
    private const string HealthcheckEmail = "__admin_healthcheck__@aether.local";

    private static readonly TimeSpan CodePeriod = TimeSpan.FromSeconds(30);

    /// <summary>Form <c>pbkdf2_sha256$ITERATIONS$SALT$HASH</c>; salt and hash are base64.</summary>
    public static string HashPassword(string password)
    {
        var salt = Convert.ToBase64String(RandomNumberGenerator.GetBytes(16));
        return string.Create(CultureInfo.InvariantCulture, $"pbkdf2_sha256${Iterations}${salt}${Derive(password, salt, Iterations)}");
    }

    public static bool VerifyPassword(string password, string hash)
    {
        var parts = hash.Split('$');
        if (parts is not ["pbkdf2_sha256", var count, var salt, var expected]
            || !int.TryParse(count, CultureInfo.InvariantCulture, out var iterations) || iterations < 1)
        {
            return false;
        }

        var derived = Derive(password, salt, iterations);
        return CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(derived), Encoding.ASCII.GetBytes(expected));
    }

    /// <summary>RFC 6238 with six digits, and one step of tolerance either way.</summary>
    public static bool VerifyCode(string secret, string code, DateTimeOffset now) =>
        Enumerable.Range(-1, 3).Any(step => Code(secret, now + (step * CodePeriod)) == code);

    public static string Code(string secret, DateTimeOffset now)
    {
        Span<byte> counter = stackalloc byte[8];
        BinaryPrimitives.WriteInt64BigEndian(counter, now.ToUnixTimeSeconds() / (long)CodePeriod.TotalSeconds);
#pragma warning disable CA5350 // RFC 6238's default, and what authenticator apps speak.
        var hash = HMACSHA1.HashData(DecodeBase32(secret), counter);
#pragma warning restore CA5350
        var number = BinaryPrimitives.ReadInt32BigEndian(hash.AsSpan(hash[^1] & 0xf)) & 0x7fffffff;
        return (number % 1_000_000).ToString("D6", CultureInfo.InvariantCulture);
    }

    /// <summary>What the admin platform does at its start: insert and delete a row.</summary>
    public async Task CheckAsync(CancellationToken ct)
    {
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new NpgsqlBatchCommand(
            $"""
            INSERT INTO admin_accounts (email, admin_id, password_hash, mfa_secret) VALUES ('{HealthcheckEmail}', 'healthcheck', '', '')
            ON CONFLICT DO NOTHING
            """));
        batch.BatchCommands.Add(new NpgsqlBatchCommand($"DELETE FROM admin_accounts WHERE email = '{HealthcheckEmail}'"));
        await batch.ExecuteNonQueryAsync(ct);
    }

    public async Task<Administrator?> FindAsync(string email, CancellationToken ct)
    {
        await using var command = database.CreateCommand(
            "SELECT email, admin_id, password_hash, mfa_secret, allowed_ips FROM admin_accounts WHERE lower(email) = lower($1)");
        command.Parameters.Add(new() { Value = email });
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct))
        {
            return null;
        }

        var addresses = reader.IsDBNull(4) ? "" : reader.GetString(4);
        return new Administrator(reader.GetString(0), reader.GetString(1), reader.GetString(2), reader.GetString(3), ReadIps(addresses));
    }

    public async Task UpsertAsync(Administrator administrator, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            INSERT INTO admin_accounts (email, admin_id, password_hash, mfa_secret, allowed_ips) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (email) DO UPDATE SET admin_id = EXCLUDED.admin_id, password_hash = EXCLUDED.password_hash,
              mfa_secret = EXCLUDED.mfa_secret, allowed_ips = EXCLUDED.allowed_ips
            """);
        command.Parameters.Add(new() { Value = administrator.Email });
        command.Parameters.Add(new() { Value = administrator.AdminId });
        command.Parameters.Add(new() { Value = administrator.PasswordHash });
        command.Parameters.Add(new() { Value = administrator.MfaSecret });
        command.Parameters.Add(new() { Value = JsonSerializer.Serialize(administrator.AllowedIps) });
        await command.ExecuteNonQueryAsync(ct);
    }

    private static string Derive(string password, string salt, int iterations) =>
        Convert.ToBase64String(Rfc2898DeriveBytes.Pbkdf2(
            Encoding.UTF8.GetBytes(password), Convert.FromBase64String(salt), iterations, HashAlgorithmName.SHA256, 32));

    private static string[] ReadIps(string json) => string.IsNullOrWhiteSpace(json) ? [] : JsonSerializer.Deserialize<string[]>(json) ?? [];

    private static byte[] DecodeBase32(string text)
    {
        var bytes = new List<byte>();
        var bits = 0;
        var buffer = 0;
        foreach (var c in text.TrimEnd('=').ToUpperInvariant())
        {
            var value = c is >= 'A' and <= 'Z' ? c - 'A' : c is >= '2' and <= '7' ? c - '2' + 26 : -1;
            if (value < 0)
            {
                continue;
            }

            buffer = ((buffer << 5) | value) & 0xfff;
            bits += 5;
            if (bits >= 8)
            {
                bits -= 8;
                bytes.Add((byte)(buffer >> bits));
            }
        }

        return [.. bytes];
    }
}
