using System.Net.Sockets;
using System.Security.Authentication;
using Npgsql;
using Polly;
using Polly.Retry;

namespace Rollout.Database;

/// <summary>
/// Opens connections to one database, each in autocommit and for one use, and tells every failure in one sentence: what was being done, where, and what
/// the server said; never the password.
/// </summary>
/// <param name="dsn">A <c>postgresql://</c> address or a connection string.</param>
internal sealed class DatabaseConnections(Secret dsn)
{
    // A server that restarts, or is full for a moment, is met again; nothing was asked of it yet.
    private static readonly ResiliencePipeline Opening = new ResiliencePipelineBuilder()
        .AddRetry(new RetryStrategyOptions
        {
            MaxRetryAttempts = 3,
            Delay = TimeSpan.FromMilliseconds(250),
            BackoffType = DelayBackoffType.Exponential,
            ShouldHandle = new PredicateBuilder().Handle<NpgsqlException>(exception => exception is PostgresException refused
                ? refused.SqlState is PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.TooManyConnections
                : exception.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused or SocketError.ConnectionReset }),
        })
        .Build();

    private readonly NpgsqlConnectionStringBuilder _address = DatabaseAddress.Parse(dsn);

    /// <param name="doing">What the connection is for, as the subject of a sentence, with the account where there is one: "refreshing the aggregates of company".</param>
    /// <exception cref="RolloutException">The database does not answer, or refused; the hint says what to do about it.</exception>
    public async Task<T> UseAsync<T>(string doing, Func<NpgsqlConnection, Task<T>> use, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = new NpgsqlConnection(_address.ConnectionString);
            await Opening.ExecuteAsync(async token => await connection.OpenAsync(token), cancellationToken);
            return await use(connection);
        }
        catch (Exception exception) when (exception is NpgsqlException or SocketException or TimeoutException or AuthenticationException)
        {
            var (cause, hint) = Explain(exception);
            throw new RolloutException(
                $"{char.ToUpperInvariant(doing[0])}{doing[1..]}: database '{_address.Database}' at {_address.Host}:{_address.Port} {Masked(cause)}.",
                hint,
                ExitCode.Failed,
                new InvalidOperationException(Masked(exception.Message)));
        }
    }

    private (string Cause, string Hint) Explain(Exception exception)
    {
        const string Dsn = "ROLLOUT_SECRETS_DATABASE";
        const string Resume = "What was under way is taken back by the server; the same command goes on.";
        if (exception is PostgresException refused)
        {
            var said = $"refused: {refused.MessageText.TrimEnd('.')}";
            return refused.SqlState switch
            {
                "28000" when refused.MessageText.Contains("no encryption", StringComparison.Ordinal) => (said, $"The server wants TLS: add sslmode=require, or verify-full with sslrootcert, to {Dsn}."),
                "28P01" or "28000" => (said, $"Check user and password in {Dsn}; in a postgresql:// address, characters such as : / @ % # ? are percent-encoded."),
                "3D000" => (said, $"Check the database's name in {Dsn}."),
                "42501" => (said, $"Grant it to the role '{_address.Username}', or use a role that owns the platform's tables."),
                "25006" => (said, $"It is a standby, or default_transaction_read_only is on: {Dsn} must name the primary."),
                "53300" => (said, "Wait until others have gone, or raise max_connections; the same command goes on."),
                "57014" => (said, $"A statement_timeout or a person ended it. {Resume}"),
                "55P03" => (said, $"Another session holds a lock. {Resume}"),
                "57P01" or "57P02" or "57P03" => (said, $"The server was being stopped or started. {Resume}"),
                _ => (said, Resume),
            };
        }

        var inner = exception.InnerException ?? exception;
        return inner switch
        {
            SocketException { SocketErrorCode: SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain } => ("is not known: its host has no address", $"Check the host in {Dsn}."),
            SocketException socket => ($"does not answer: {socket.Message}", $"See that the server runs and can be reached from here, and check host and port in {Dsn}. {Resume}"),
            TimeoutException => ("gave no answer in time", $"See what the server is doing (pg_stat_activity). {Resume}"),
            AuthenticationException => ($"could not be reached over TLS: {inner.Message}", $"Check sslmode and sslrootcert in {Dsn} against the server's certificate."),
            IOException or EndOfStreamException => ("hung up in the middle", Resume),
            _ when exception.Message.Contains("SSL", StringComparison.Ordinal) => ($"could not be reached over TLS: {exception.Message}", $"Check sslmode in {Dsn}: the server has no TLS, or another certificate."),
            _ => ($"failed: {exception.Message.TrimEnd('.')}", Resume),
        };
    }

    public static string Quote(string identifier) => "\"" + identifier.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";

    public static async Task<bool> ExistsAsync(NpgsqlConnection connection, string schema, string table, CancellationToken cancellationToken)
    {
        var found = await ListAsync(
            connection,
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = @schema AND c.relname = @table",
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

    private string Masked(string text) => _address.Password is { Length: > 0 } password
        ? text.Replace(password, "***", StringComparison.Ordinal).Replace(Uri.EscapeDataString(password), "***", StringComparison.Ordinal)
        : text;
}
