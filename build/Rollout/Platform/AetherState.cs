using System.Text.Json;

namespace Rollout.Platform;

/// <summary>What becomes of a file of <c>.aether_state</c> when a second stack is made (platform contract, section 6).</summary>
public enum StateKind
{
    /// <summary>Copied; its digest goes into the evidence.</summary>
    Plain,

    /// <summary>Copied; nothing of it goes anywhere else, not even a digest.</summary>
    Secret,

    /// <summary>A secret that lets its holder trade: a candidate gets it with the exchange keys, not before (invariant 1).</summary>
    ExchangeKeys,

    /// <summary>Each slot has its own: sessions, and whether it is frozen.</summary>
    OfTheSlot,

    /// <summary>What SQLite keeps beside a database while it writes; a whole copy has none.</summary>
    Companion,
}

/// <summary>The platform's state outside the database. Only insecure-default fallbacks write it; a hardened deployment has none.</summary>
public static class AetherState
{
    /// <summary>Names the directory; what is hard coded on the platform ignores it.</summary>
    public const string Variable = "AETHER_STATE_DIR";

    /// <summary>Where it is by default, and where hard-coded paths lead whatever the variable says: below the working directory.</summary>
    public const string DefaultDirectory = ".aether_state";

    /// <summary>The directories of a container in which state may lie.</summary>
    /// <param name="variable">The value of <see cref="Variable"/>; null where it is unset.</param>
    public static IReadOnlyList<string> Directories(string? variable) =>
        string.IsNullOrWhiteSpace(variable) || variable.TrimEnd('/') == DefaultDirectory ? [DefaultDirectory] : [variable.TrimEnd('/'), DefaultDirectory];

    /// <summary>What a file is, by its path below the state directory.</summary>
    public static StateKind KindOf(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return path.Split('/') switch
        {
            ["safe_mode", ..] or ["auth_sessions", ..] => StateKind.OfTheSlot,
            ["kraken_credentials", ..] => StateKind.ExchangeKeys,
            [.., var name] when HasSuffix(name, "-wal", "-shm", "-journal") => StateKind.Companion,
            [.., var name] when HasSuffix(name, ".key", ".pem", ".p12", ".jks") || Contains(name, "secret", "credential", "token", "password") => StateKind.Secret,
            ["accounts", ..] => StateKind.Secret,
            _ => StateKind.Plain,
        };
    }

    /// <summary>Whether a file's content is whole, as far as that can be told: JSON that ends early was read while it was written.</summary>
    public static bool IsWhole(string path, ReadOnlyMemory<byte> content)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (!path.EndsWith(".json", StringComparison.Ordinal))
        {
            return true;
        }

        try
        {
            using var document = JsonDocument.Parse(content);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool HasSuffix(string name, params string[] suffixes) => Array.Exists(suffixes, s => name.EndsWith(s, StringComparison.OrdinalIgnoreCase));

    private static bool Contains(string name, params string[] words) => Array.Exists(words, w => name.Contains(w, StringComparison.OrdinalIgnoreCase));
}
