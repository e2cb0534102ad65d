using System.Globalization;
using System.Text.Json.Nodes;
using Npgsql;
using Rehearsal.Aether.Audit;
using Rehearsal.Aether.Http;
using Rehearsal.Aether.Metrics;
using Rehearsal.Aether.Stores;

namespace Rehearsal.Aether.Services;

/// <summary>The admin platform: logins, and the scaling controller whose cycles only a counter shows (section 4.3).</summary>
internal sealed class AdminService(Pod pod) : AetherService(pod)
{
    private static readonly TimeSpan ShortestInterval = TimeSpan.FromSeconds(5);

    private readonly Metric _evaluations = pod.Metrics.Counter("scaling_evaluations_total", "Scaling evaluations.");
    private readonly Metric _replicas = pod.Metrics.Gauge("scaling_oms_replicas", "OMS replicas the controller sees.");

    public override IEnumerable<(string Name, Func<CancellationToken, Task> Look)> Checks
    {
        get
        {
            if (Dsn is { } dsn)
            {
                yield return ("admin_repository", ct => LookAtDatabaseAsync(dsn, ct));
            }

            if (Pod.Env("SESSION_REDIS_URL") is { } url)
            {
                yield return ("session_store", ct => LookAtRedisAsync(url, ct));
            }
        }
    }

    private string? Dsn => Pod.Env("ADMIN_POSTGRES_DSN", "ADMIN_DATABASE_DSN", "ADMIN_DB_DSN");

    private bool Scaling => Pod.Env("SCALING_CONTROLLER_ENABLED") is not "false";

    // The platform's default names neither slot: a controller without this variable looks at somebody else's OMS.
    private string OmsNamespace => Pod.Env("OMS_DEPLOYMENT_NAMESPACE") ?? "aether";

    private AdministratorStore Administrators =>
        new(Pod.World.Databases.Open(Dsn ?? throw new Refusal(500, "Administrator repository is not configured.")));

    public override async Task StartAsync(CancellationToken ct)
    {
        _evaluations.Add(0);
        if (Dsn is null)
        {
            Pod.Log("WARNING:  no administrator repository is configured; nobody can log in");
            return;
        }

        try
        {
            await Administrators.CheckAsync(ct);
        }
        catch (NpgsqlException failure)
        {
            throw new StartupException($"administrator repository: {failure.Message}");
        }
    }

    public override void Map(RouteTable routes)
    {
        var login = new BodySchema(
            "LoginRequest",
            new("email", "string"),
            new("password", "string"),
            new("mfa_code", "string", Required: false),
            new("ip_address", "string", Required: false));
        routes.Post("/auth/login", login, LogInAsync);
        routes.Get("/infra/scaling/status", async call =>
        {
            await Authentication.RequireAdminAsync(call);
            return Scaling
                ? Answer.Ok(new JsonObject { ["oms_replicas"] = CountOms(), ["gpu_nodes"] = 0, ["pending_jobs"] = 0 })
                : throw new Refusal(503, "Scaling controller is not configured");
        });
    }

    /// <summary>The interval is slept after each evaluation, so a cycle is interval plus work.</summary>
    public override async Task RunAsync(CancellationToken ct)
    {
        if (!Scaling)
        {
            return;
        }

        var interval = double.TryParse(Pod.Env("SCALING_CHECK_INTERVAL"), CultureInfo.InvariantCulture, out var seconds) && seconds > 0
            ? TimeSpan.FromSeconds(seconds)
            : TimeSpan.FromSeconds(60);
        interval = interval < ShortestInterval ? ShortestInterval : interval;
        while (true)
        {
            if (!Pod.Struck("scaling-stalled"))
            {
                _replicas.Set(CountOms());
                _evaluations.Add(1);
            }

            await Task.Delay(interval, Pod.Time, ct);
        }
    }

    private int CountOms() => Pod.World.Addresses(OmsNamespace, "oms-service").Count;

    private async Task<Answer> LogInAsync(Call call)
    {
        var administrator = await Administrators.FindAsync(call.Text("email")!, call.Aborted);
        if (administrator is null || !AdministratorStore.VerifyPassword(call.Text("password")!, administrator.PasswordHash))
        {
            throw new Refusal(401, "invalid credentials");
        }

        if (administrator.MfaSecret.Length > 0
            && !AdministratorStore.VerifyCode(administrator.MfaSecret, call.Text("mfa_code") ?? "", Pod.Time.GetUtcNow()))
        {
            throw new Refusal(401, "mfa_required");
        }

        // Plain strings, whatever the runbook says of CIDR.
        if (administrator.AllowedIps.Count > 0 && !administrator.AllowedIps.Contains(call.Text("ip_address") ?? "", StringComparer.Ordinal))
        {
            throw new Refusal(401, "ip_not_allowed");
        }

        var session = await Authentication.OpenAsync(administrator.AdminId, call.Aborted);
        return Answer.Ok(new JsonObject
        {
            ["token"] = session.Token,
            ["admin_id"] = administrator.AdminId,
            ["expires_at"] = AuditTrail.IsoTime(session.ExpiresAt),
        });
    }
}
