using System.Text;
using Rollout.Platform;

namespace Rollout.Tests.Platform;

[Parallelizable(ParallelScope.All)]
public sealed class AetherStateTests
{
    [TestCase("accounts/encryption.key", StateKind.Secret)]
    [TestCase("accounts/directory.json", StateKind.Secret)]
    [TestCase("advisor/api_TOKEN.txt", StateKind.Secret)]
    [TestCase("kraken_credentials/company.json", StateKind.ExchangeKeys)]
    [TestCase("auth_sessions/sessions.json", StateKind.OfTheSlot)]
    [TestCase("safe_mode/state.json", StateKind.OfTheSlot)]
    [TestCase("timescale_company.sqlite-wal", StateKind.Companion)]
    [TestCase("release_manifest/config_versions.db-journal", StateKind.Companion)]
    [TestCase("timescale_company.sqlite", StateKind.Plain)]
    [TestCase("capital_allocator/allocations.json", StateKind.Plain)]
    [TestCase("redis_feast/company/state.json", StateKind.Plain)]
    public void Each_file_has_its_kind(string path, StateKind kind) => Assert.That(AetherState.KindOf(path), Is.EqualTo(kind));

    [Test]
    public void Hard_coded_paths_are_looked_at_beside_the_variables()
    {
        Assert.That(AetherState.Directories("/var/lib/aether/state/"), Is.EqualTo(new[] { "/var/lib/aether/state", ".aether_state" }));
        Assert.That(AetherState.Directories(null), Is.EqualTo(new[] { ".aether_state" }));
        Assert.That(AetherState.Directories(".aether_state"), Is.EqualTo(new[] { ".aether_state" }));
    }

    [TestCase("hedge_service/override_state.json", "{\"a\": 1}", true)]
    [TestCase("hedge_service/override_state.json", "{\"a\": ", false)]
    [TestCase("hedge_service/override_state.json", "", false)]
    [TestCase("knowledge_pack/text.md", "", true)]
    public void Json_that_ends_early_is_not_whole(string path, string content, bool whole) =>
        Assert.That(AetherState.IsWhole(path, Encoding.UTF8.GetBytes(content)), Is.EqualTo(whole));
}
