using System.Net.Sockets;
using Npgsql;

namespace Rollout.Database;

/// <summary>
/// Opens connections to one database, each in autocommit and for one use, and tells every failure in one sentence: what was being done, where, and what
/// the server said; never the password.
/// </summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
internal sealed class DatabaseConnections(Secret dsn)
{
    private readonly NpgsqlConnectionStringBuilder _address = DatabaseAddress.Parse(dsn);

    /// <param name="doing">What the connection is for, as the subject of a sentence: "counting the administrators".</param>
    /// <exception cref="RolloutException">The database does not answer, or refused.</exception>
    public async Task<T> UseAsync<T>(string doing, Func<NpgsqlConnection, Task<T>> use, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = new NpgsqlConnection(_address.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            return await use(connection);
        }
        catch (Exception exception) when (exception is NpgsqlException or SocketException or TimeoutException)
        {
            var cause = exception is PostgresException refused ? refused.MessageText : exception.Message;
            throw new RolloutException(
                $"{char.ToUpperInvariant(doing[0])}{doing[1..]}: database '{_address.Database}' at {_address.Host}:{_address.Port} failed: {Masked(cause)}",
                null,
                ExitCode.Failed,
                exception);
        }
    }

    public static string Quote(string identifier) => "\"" + identifier.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";

    public static async Task<bool> ExistsAsync(NpgsqlConnection connection, string schema, string table, CancellationToken cancellationToken)
    {
        var found = await ListAsync(
            connection,
            "SELECT 1 FROM information_schema.tables WHERE table_schema = @schema AND table_name = @table",
            _ => true,
            cancellationToken,
            ("schema", schema),
            ("table", table));
        return found.Count > 0;
    }

    public static async Task<IReadOnlyList<T>> ListAsync<T>(
        NpgsqlConnection connection, string sql, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken, params (
            string Name, object Value)[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var (name, value) in parameters)
        {
            command.Parameters.AddWithValue(name, value);
        }

        var rows = new List<T>();
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            rows.Add(read(reader));
        }

        return rows;
    }

    private string Masked(string text) =>
        _address.Password is { Length: > 0 } password ? text.Replace(password, "***", StringComparison.Ordinal) : text;
}
