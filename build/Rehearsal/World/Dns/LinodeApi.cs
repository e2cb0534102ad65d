using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Rehearsal.World;

/// <summary>What a <see cref="LinodeApi"/> holds at its creation.</summary>
/// <param name="Token">The one Bearer token that may read and write.</param>
/// <param name="Zone">The zone it serves, such as <c>aether.example.com</c>.</param>
/// <param name="Hosts">Names relative to the zone that get an A record.</param>
/// <param name="Target">The address those records hold at first.</param>
/// <param name="HostTtl">
/// The TTL of those records in seconds. Here 5, which Linode's list does not have and no edit could write: a rehearsal lasts half a minute, and at
/// 300 its clients would stay on the old slot until after its end.
/// </param>
public sealed record LinodeOptions(string Token, string Zone, IReadOnlyList<string> Hosts, IPAddress Target, int HostTtl = 5);

/// <summary>
/// Linode API v4, domains and their records: pages, <c>X-Filter</c>, rounded TTLs, rate limits, and errors in all the shapes the
/// real one has (linode-api-openapi; StackExchange/dnscontrol#2440 for <c>ttl_sec: 0</c>). Edits reach the
/// <see cref="NameServer"/>s only after a rendering delay.
/// </summary>
public sealed class LinodeApi : IAsyncDisposable
{
    private const int ListCallsPerMinute = 200;
    private const int OtherCallsPerMinute = 1600;

    private readonly Place _place;
    private readonly LinodeOptions _options;
    private readonly FaultCount _refuse;
    private readonly FaultCount _busy;
    private readonly FaultCount _limit;
    private readonly FaultCount _lostAnswer;
    private readonly Lock _lock = new();
    private readonly Dictionary<bool, (long Minute, int Calls)> _calls = [];
    private readonly IReadOnlyList<Zone> _zones;
    private LoopbackServer? _server;

    private LinodeApi(Place place, LinodeOptions options)
    {
        _place = place;
        _options = options;
        _refuse = new FaultCount(place.Fault, "linode-refuse-record");
        _busy = new FaultCount(place.Fault, "linode-busy");
        _limit = new FaultCount(place.Fault, "linode-limit");
        _lostAnswer = new FaultCount(place.Fault, "linode-lost-answer");
        Served = new Zone(1734001, options.Zone, 3600, place.Time, Path.Combine(place.Directory, "linode.json"), InitialRecords);

        // An account has other zones too, whose edits nobody asked for.
        var neighbour = new Zone(
            1734002, "example.net", 0, place.Time, null, () => [("A", "", "192.0.2.80", 0), ("A", "oms", "192.0.2.81", 0)]);
        _zones = [Served, neighbour];
        Address = new Uri("about:blank");
    }

    /// <summary>Base address up to and including <c>/v4</c>.</summary>
    public Uri Address { get; private set; }

    /// <summary>The records of the served zone as edited, whether name servers show them yet or not.</summary>
    public IReadOnlyList<DnsRecord> Records => Served.Records;

    internal Zone Served { get; }

    public static async Task<LinodeApi> StartAsync(Place place, LinodeOptions options, CancellationToken cancellationToken)
    {
        var api = new LinodeApi(place, options);
        var (server, address) = await LoopbackServer.StartAsync(place.Ports, "linode", api.AnswerAsync, cancellationToken);
        api._server = server;
        api.Address = new Uri(address, "v4");
        return api;
    }

    public ValueTask DisposeAsync()
    {
        return _server?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private List<(string Type, string Name, string Target, int Ttl)> InitialRecords()
    {
        return
        [
            .. _options.Hosts.Select(host => ("A", host, _options.Target.ToString(), _options.HostTtl)),
            ("MX", "", $"mail.{_options.Zone}", 3600),
            ("TXT", "", "v=spf1 -all", 0),
            ("TXT", "_acme-challenge", "rehearsal", 300),
        ];
    }

    private async Task AnswerAsync(HttpContext context)
    {
        if (_place.Fault("linode-down") is not null)
        {
            await context.AnswerTextAsync(
                502,
                "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>",
                "text/html");
            return;
        }

        if (!context.Request.HasToken(_options.Token))
        {
            await RefuseAsync(context, 401, "Invalid Token");
            return;
        }

        var segments = context.Request.Segments();
        var isList = segments is [.., "domains"] or [.., "records"] && HttpMethods.IsGet(context.Request.Method);
        if (IsLimited(context, isList) || _limit.IsWithin())
        {
            context.Response.Headers.RetryAfter = "1";
            await RefuseAsync(context, 429, "Too many requests");
            return;
        }

        if (_busy.IsWithin())
        {
            await RefuseAsync(context, 400, "Linode busy.");
            return;
        }

        if (segments is not ["v4" or "v4beta", "domains", .. var rest])
        {
            await RefuseAsync(context, 404, "Not found");
            return;
        }

        var method = context.Request.Method;
        if (rest is [])
        {
            await (HttpMethods.IsGet(method)
                ? ListAsync(context, _zones, Describe, ["domain"])
                : RefuseAsync(context, 405, "Method Not Allowed"));
            return;
        }

        if (_zones.FirstOrDefault(zone => zone.Id.ToString(CultureInfo.InvariantCulture) == rest[0]) is not { } zone)
        {
            await RefuseAsync(context, 404, "Not found");
            return;
        }

        await ((method, rest[1..]) switch
        {
            ("GET", []) => context.AnswerAsync(200, Describe(zone)),
            ("GET", ["zone-file"]) => context.AnswerAsync(200, ZoneFile(zone)),
            ("GET", ["records"]) => ListAsync(context, zone.Records, Describe, ["name", "type", "target"]),
            ("POST", ["records"]) => CreateAsync(context, zone),
            ("GET", ["records", var id]) when Find(zone, id) is { } record => context.AnswerAsync(200, Describe(record)),
            ("PUT", ["records", var id]) when Find(zone, id) is { } record => ChangeAsync(context, zone, record),
            ("DELETE", ["records", var id]) when Find(zone, id) is { } record => RemoveAsync(context, zone, record),
            _ => RefuseAsync(context, 404, "Not found"),
        });
    }

    private static DnsRecord? Find(Zone zone, string id)
    {
        return zone.Records.FirstOrDefault(record => record.Id.ToString(CultureInfo.InvariantCulture) == id);
    }

    // Two classes of calls, each with its own allowance a minute, told in headers on every answer.
    private bool IsLimited(HttpContext context, bool isList)
    {
        var now = _place.Time.GetUtcNow().ToUnixTimeSeconds();
        var allowance = isList ? ListCallsPerMinute : OtherCallsPerMinute;
        int used;
        lock (_lock)
        {
            var (minute, calls) = _calls.GetValueOrDefault(isList);
            used = minute == now / 60 ? calls + 1 : 1;
            _calls[isList] = (now / 60, used);
        }

        var headers = context.Response.Headers;
        headers["X-RateLimit-Limit"] = allowance.ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Remaining"] = Math.Max(0, allowance - used).ToString(CultureInfo.InvariantCulture);
        headers["X-RateLimit-Reset"] = ((now / 60 * 60) + 60).ToString(CultureInfo.InvariantCulture);
        return used > allowance;
    }

    private static async Task ListAsync<T>(HttpContext context, IReadOnlyList<T> all, Func<T, JsonObject> describe, string[] filterable)
    {
        var query = context.Request.Query;
        var page = query.TryGetValue("page", out var p) ? int.TryParse(p, out var n) ? n : 0 : 1;
        var size = query.TryGetValue("page_size", out var s) ? int.TryParse(s, out var m) ? m : 0 : 100;
        if (size is < 25 or > 500)
        {
            await RefuseAsync(context, 400, "Must be 25-500", "page_size");
            return;
        }

        var described = all.Select(describe).ToList();
        if (context.Request.Headers["X-Filter"].FirstOrDefault() is { Length: > 0 } filter)
        {
            try
            {
                described = LinodeFilter.Apply(described, filter, filterable);
            }
            catch (FormatException problem)
            {
                await RefuseAsync(context, 400, problem.Message, "X-Filter");
                return;
            }
        }

        var pages = Math.Max(1, (described.Count + size - 1) / size);
        if (page < 1 || page > pages)
        {
            await RefuseAsync(context, 404, "Not found", "page");
            return;
        }

        await context.AnswerAsync(200, new JsonObject
        {
            ["data"] = new JsonArray([.. described.Skip((page - 1) * size).Take(size)]),
            ["page"] = page,
            ["pages"] = pages,
            ["results"] = described.Count,
        });
    }

    private async Task CreateAsync(HttpContext context, Zone zone)
    {
        var body = await context.Request.ReadObjectAsync(context.RequestAborted);
        if (await IsRefusedAsync(context, zone, body, null))
        {
            return;
        }

        var record = zone.Add((id, now) => Merge(new DnsRecord(id, "", "", "", 0, 0, now, now), body!, zone));
        await context.AnswerAsync(200, Describe(record));
    }

    private async Task ChangeAsync(HttpContext context, Zone zone, DnsRecord record)
    {
        var body = await context.Request.ReadObjectAsync(context.RequestAborted);
        if (await IsRefusedAsync(context, zone, body, record))
        {
            return;
        }

        var moved = false;
        var changed = zone.Change(record.Id, (old, now) =>
        {
            var merged = Merge(old, body!, zone) with { Updated = now };
            moved = merged.Target != old.Target;
            return merged;
        });
        if (changed is not null)
        {
            _place.Effect(moved ? "linode-record-writes" : "linode-record-writes-repeated");
        }

        if (_lostAnswer.IsNth())
        {
            context.Abort();
            return;
        }

        await (changed is null ? RefuseAsync(context, 404, "Not found") : context.AnswerAsync(200, Describe(changed)));
    }

    private async Task RemoveAsync(HttpContext context, Zone zone, DnsRecord record)
    {
        if (_refuse.IsNth())
        {
            await RefuseAsync(context, 400, "The record could not be deleted.");
            return;
        }

        zone.Remove(record.Id);
        await context.AnswerAsync(200, new JsonObject());
    }

    private async Task<bool> IsRefusedAsync(HttpContext context, Zone zone, JsonObject? body, DnsRecord? existing)
    {
        var problems = body is null ? [("Invalid JSON", null)] : LinodeRecord.Problems(zone, body, existing);
        if (problems.Count == 0 && _refuse.IsNth())
        {
            problems = [("Record could not be saved.", "target")];
        }

        if (problems.Count > 0)
        {
            await RefuseAsync(context, 400, problems);
            return true;
        }

        return false;
    }

    private static DnsRecord Merge(DnsRecord old, JsonObject body, Zone zone)
    {
        return old with
        {
            Type = old.Type.Length > 0 ? old.Type : (string)body["type"]!,
            Name = body["name"] is { } name ? LinodeRecord.Shorten((string)name!, zone.Domain) : old.Name,
            Target = (string?)body["target"] switch
            {
                null => old.Target,

                // Stands for the caller's address, and all callers of a double are on loopback.
                "[remote_addr]" => IPAddress.Loopback.ToString(),
                var target => target,
            },
            Ttl = body["ttl_sec"] is { } ttl ? Zone.RoundTtl((int)ttl) : old.Ttl,
            Priority = body["priority"] is { } priority ? (int)priority : old.Priority,
        };
    }

    private static JsonObject Describe(Zone zone)
    {
        return new JsonObject
        {
            ["id"] = zone.Id,
            ["type"] = "master",
            ["domain"] = zone.Domain,
            ["group"] = "",
            ["status"] = "active",
            ["description"] = "",
            ["soa_email"] = $"hostmaster@{zone.Domain}",
            ["retry_sec"] = 0,
            ["master_ips"] = new JsonArray(),
            ["axfr_ips"] = new JsonArray(),
            ["expire_sec"] = 0,
            ["refresh_sec"] = 0,
            ["ttl_sec"] = zone.Ttl,
            ["tags"] = new JsonArray(),
        };
    }

    private static JsonObject Describe(DnsRecord record)
    {
        return new JsonObject
        {
            ["id"] = record.Id,
            ["type"] = record.Type,
            ["name"] = record.Name,
            ["target"] = record.Target,
            ["priority"] = record.Priority,
            ["weight"] = 0,
            ["port"] = 0,
            ["service"] = null,
            ["protocol"] = null,
            ["ttl_sec"] = record.Ttl,
            ["tag"] = null,
            ["created"] = record.Created.UtcDateTime.ToString("s", CultureInfo.InvariantCulture),
            ["updated"] = record.Updated.UtcDateTime.ToString("s", CultureInfo.InvariantCulture),
        };
    }

    private JsonObject ZoneFile(Zone zone)
    {
        var rendered = zone.ServedAfter(serial => NameServer.RenderingDelay(_place.Fault, "ns1", serial));
        var lines = new JsonArray(
            $"; {zone.Domain} [{zone.Id}]",
            $"$TTL {NameServer.DefaultTtl(zone)}",
            $"@ IN SOA ns1.linode.com. hostmaster.{zone.Domain}. {rendered.Serial} 14400 14400 1209600 86400",
            "@ NS ns1.linode.com.",
            "@ NS ns2.linode.com.");
        foreach (var record in rendered.Records)
        {
            var name = record.Name.Length == 0 ? "@" : record.Name;
            var ttl = record.Ttl == 0 ? "" : $" {record.Ttl}";
            var target = record.Type switch
            {
                "TXT" => $"\"{record.Target}\"",
                "MX" => $"{record.Priority} {record.Target}.",
                "CNAME" or "NS" => $"{record.Target}.",
                _ => record.Target,
            };
            lines.Add($"{name}{ttl} {record.Type} {target}");
        }

        return new JsonObject { ["zone_file"] = lines };
    }

    private static Task RefuseAsync(HttpContext context, int status, string reason, string? field = null)
    {
        return RefuseAsync(context, status, [(reason, field)]);
    }

    private static Task RefuseAsync(HttpContext context, int status, IReadOnlyList<(string Reason, string? Field)> problems)
    {
        var errors = new JsonArray();
        foreach (var (reason, field) in problems)
        {
            var error = new JsonObject { ["reason"] = reason };
            if (field is not null)
            {
                error["field"] = field;
            }

            errors.Add(error);
        }

        return context.AnswerAsync(status, new JsonObject { ["errors"] = errors });
    }
}
