using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Rehearsal.World;

/// <summary>
/// A private PostgreSQL server: initialised once, listening on a kept loopback port, without durability (a rehearsal's machine may
/// crash, its data need not survive that), but recovering like any PostgreSQL from a killed process.
/// <para>
/// It never outlives its world: the server runs under a shell that waits on a pipe from this process and stops it when
/// the pipe closes, however this process ended.
/// </para>
/// <para>
/// PostgreSQL refuses to run as root, so for root it runs as <c>nobody</c>, who must be able to reach the data: the world's directory
/// is opened for passing through (mode 0711: names in it can be reached, not listed), and where a folder above it is closed the
/// data lies in the temporary directory, from where the next world to go there removes it once its own is gone. Where it lies is
/// remembered in <c>postgres.json</c>.
/// </para>
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    /// <summary>The superuser's name.</summary>
    public const string User = "aether";

    private const string Unprivileged = "nobody";

    // How a home's name begins in its world's directory and in the temporary one, and the file in it that says which world it is of.
    private const string Here = "postgres-";
    private const string Elsewhere = "rehearsal-postgres-";
    private const string Owner = "world";

    // Its group is called nogroup on some systems and nobody on others; the number is the same.
    private const string UnprivilegedGroup = "65534";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // $1 is the server program; the rest its arguments. Standard input is the pipe that this process holds open.
    private const string Supervisor =
        """
        exec 3<&0
        log=$1; shift
        "$@" 3<&- >>"$log" 2>&1 </dev/null &
        server=$!
        ( read -r _ <&3; kill -INT $server 2>/dev/null ) &
        wait $server
        """;

    private readonly Process _supervisor;
    private readonly TimeProvider _time;

    private PostgresServer(Process supervisor, TimeProvider time, IPEndPoint address)
    {
        _supervisor = supervisor;
        _time = time;
        Address = address;
    }

    public IPEndPoint Address { get; }

    /// <summary>Where this world's server will listen, known before it runs.</summary>
    public static IPEndPoint AddressIn(Place place)
    {
        return place.Ports.Reserve("postgres");
    }

    /// <summary>Starts the server of this world, initialising it the first time; it accepts connections when this returns.</summary>
    /// <param name="binaries">The folder with initdb and postgres; null looks in PATH and where distributions install them.</param>
    /// <param name="password">Of the superuser <see cref="User"/>, set at the initialisation.</param>
    /// <exception cref="FileNotFoundException">No server programs.</exception>
    /// <exception cref="IOException">It did not come up; the message holds the end of its log.</exception>
    public static async Task<PostgresServer> StartAsync(Place place, string? binaries, string password, CancellationToken cancellationToken)
    {
        var programs = PostgresBinaries.Find(binaries);
        if (Environment.IsPrivilegedProcess && !IsReachable(programs))
        {
            throw new FileNotFoundException(
                $"PostgreSQL refuses to run as root, and the user '{Unprivileged}' cannot reach its programs in {programs}: "
                + "a folder on the way is closed to others.");
        }

        var memory = Path.Combine(place.Directory, "postgres.json");
        var known = StateFile.Read(memory);
        if (known is null || !Directory.Exists((string)known["home"]!))
        {
            known = await InitialiseAsync(place.Directory, programs, password, cancellationToken);
            StateFile.Write(memory, known);
        }

        var home = (string)known["home"]!;
        var data = Path.Combine(home, "data");
        await EndPredecessorAsync(data, place.Time, cancellationToken);
        var address = AddressIn(place);
        var log = Path.Combine(home, "postgres.log");
        var command = AsUnprivileged(
            [
                "sh", "-c", Supervisor, "postgres-of-rehearsal", log, Path.Combine(programs, "postgres"),
                "-D", data, "-h", "127.0.0.1", "-p", address.Port.ToString(CultureInfo.InvariantCulture), "-k", "",
                "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "wal_level=minimal",
                "-c", "max_wal_senders=0", "-c", "shared_buffers=16MB", "-c", "max_connections=200", "-c", "autovacuum=off",
                "-c", "jit=off", "-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "dynamic_shared_memory_type=mmap",
            ]);
        var server = new PostgresServer(Start(command, home), place.Time, address);
        try
        {
            await server.WaitUntilReadyAsync(data, log, cancellationToken);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        // Closing the pipe asks for a fast shutdown; a server that does not obey is killed, and recovers at its next start.
        _supervisor.StandardInput.Close();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10), _time);
        try
        {
            await _supervisor.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            _supervisor.Kill(entireProcessTree: true);
        }

        _supervisor.Dispose();
    }

    private static async Task<JsonObject> InitialiseAsync(
        string directory, string programs, string password, CancellationToken cancellationToken)
    {
        var home = await MakeHomeAsync(directory, cancellationToken);
        var passwordFile = Path.Combine(home, "password");

        // Readable by the server's user, in a folder that only that user and root may enter.
        await File.WriteAllTextAsync(passwordFile, password + "\n", cancellationToken);
        await RunAsync(
            AsUnprivileged(
                [
                    Path.Combine(programs, "initdb"), "-D", Path.Combine(home, "data"), "-U", User, "--pwfile", passwordFile,
                    "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions",
                ]),
            home,
            cancellationToken);
        File.Delete(passwordFile);
        return new JsonObject { ["home"] = home };
    }

    // A new name at each try: the initdb of a world that was killed may still be writing into the one before.
    private static async Task<string> MakeHomeAsync(string directory, CancellationToken cancellationToken)
    {
        var name = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4));
        foreach (var left in Directory.GetDirectories(directory, Here + "*"))
        {
            RemoveIfPossible(left);
        }

        if (!Environment.IsPrivilegedProcess || OperatingSystem.IsWindows())
        {
            return Directory.CreateDirectory(Path.Combine(directory, Here + name)).FullName;
        }

        const UnixFileMode passing = UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        File.SetUnixFileMode(directory, File.GetUnixFileMode(directory) | passing);
        var isReachable = IsReachable(directory);
        if (!isReachable)
        {
            RemoveOrphans();
        }

        var home = isReachable ? Path.Combine(directory, Here + name) : Path.Combine(Path.GetTempPath(), Elsewhere + name);
        await RunAsync(["install", "-d", "-m", "0700", "-o", Unprivileged, "-g", UnprivilegedGroup, home], "/", cancellationToken);
        await File.WriteAllTextAsync(Path.Combine(home, Owner), directory, cancellationToken);
        return home;
    }

    // Data outside its world's directory stays behind when that directory is removed.
    private static void RemoveOrphans()
    {
        foreach (var home in Directory.GetDirectories(Path.GetTempPath(), Elsewhere + "*"))
        {
            var owner = Path.Combine(home, Owner);
            if (File.Exists(owner) && !Directory.Exists(File.ReadAllText(owner)))
            {
                RemoveIfPossible(home);
            }
        }
    }

    private static void RemoveIfPossible(string directory)
    {
        try
        {
            Directory.Delete(directory, recursive: true);
        }
        catch (Exception busy) when (busy is IOException or UnauthorizedAccessException)
        {
            // Somebody still writes there; it is in nobody's way.
        }
    }

    private static bool IsReachable(string directory)
    {
        for (var folder = Path.GetFullPath(directory); folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (!OperatingSystem.IsWindows() && !File.GetUnixFileMode(folder).HasFlag(UnixFileMode.OtherExecute))
            {
                return false;
            }
        }

        return true;
    }

    // A server of this data directory may still be stopping after its world was killed; two at once would not work.
    private static async Task EndPredecessorAsync(string data, TimeProvider time, CancellationToken cancellationToken)
    {
        var lockFile = Path.Combine(data, "postmaster.pid");
        var started = time.GetTimestamp();
        while (File.Exists(lockFile))
        {
            var firstLine = (await ReadLinesAsync(lockFile, cancellationToken)).FirstOrDefault();
            if (!int.TryParse(firstLine, CultureInfo.InvariantCulture, out var pid) || !IsServerOf(pid, data))
            {
                // Left by a killed server. PostgreSQL would refuse to start when another process has that number by now.
                File.Delete(lockFile);
                return;
            }

            if (time.GetElapsedTime(started) > TimeSpan.FromSeconds(5))
            {
                using var predecessor = Process.GetProcessById(pid);
                predecessor.Kill();
            }

            await Task.Delay(TimeSpan.FromMilliseconds(20), time, cancellationToken);
        }
    }

    private static bool IsServerOf(int pid, string data)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/cmdline").Split('\0').Contains(data);
        }
        catch (IOException)
        {
            return false;
        }
    }

    // The lock file's eighth line says "ready" as soon as connections are accepted, a few milliseconds after the port opens.
    private async Task WaitUntilReadyAsync(string data, string log, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        var lockFile = Path.Combine(data, "postmaster.pid");
        while (!_supervisor.HasExited && _time.GetElapsedTime(started) < Patience)
        {
            if (await ReadLinesAsync(lockFile, cancellationToken) is { Length: >= 8 } lines && lines[7].Trim() == "ready")
            {
                return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(10), _time, cancellationToken);
        }

        var end = File.Exists(log) ? string.Join('\n', File.ReadLines(log).TakeLast(8)) : "(no log)";
        throw new IOException($"PostgreSQL did not come up on {Address}. The end of {log}:\n{end}");
    }

    private static async Task<string[]> ReadLinesAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            return await File.ReadAllLinesAsync(path, cancellationToken);
        }
        catch (IOException)
        {
            // Replaced or removed at this moment.
            return [];
        }
    }

    private static string[] AsUnprivileged(string[] command)
    {
        // A session of its own, so that a Ctrl-C at the terminal reaches the world and not the database under it.
        string[] detached = OperatingSystem.IsLinux() ? ["setsid", .. command] : command;
        return Environment.IsPrivilegedProcess && OperatingSystem.IsLinux()
            ? ["setpriv", $"--reuid={Unprivileged}", $"--regid={UnprivilegedGroup}", "--clear-groups", .. detached]
            : detached;
    }

    private static Process Start(string[] command, string workingDirectory)
    {
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            WorkingDirectory = workingDirectory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // Variables such as PGPORT or PGDATA of the person who rehearses are not for this server.
        foreach (var name in start.Environment.Keys.Where(key => key.StartsWith("PG", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(name);
        }

        start.Environment["LC_ALL"] = "C";
        return Process.Start(start)!;
    }

    private static async Task RunAsync(string[] command, string workingDirectory, CancellationToken cancellationToken)
    {
        using var process = Start(command, workingDirectory);
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
        var errors = await process.StandardError.ReadToEndAsync(cancellationToken);
        await output;
        await process.WaitForExitAsync(cancellationToken);
        if (process.ExitCode != 0)
        {
            throw new IOException($"'{string.Join(' ', command)}' ended with {process.ExitCode}: {errors.Trim()}");
        }
    }
}
