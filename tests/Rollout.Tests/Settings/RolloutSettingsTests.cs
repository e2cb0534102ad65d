using Rollout.Tests.Support;

namespace Rollout.Tests.Settings;

public sealed class RolloutSettingsTests
{
    private string _root = null!;

    [SetUp]
    public void MakeRoot()
    {
        _root = Directory.CreateTempSubdirectory("settings-").FullName;
        Directory.CreateDirectory(Path.Combine(_root, "environments"));
    }

    [TearDown]
    public void RemoveRoot() => Directory.Delete(_root, recursive: true);

    [Test]
    public void Every_spelling_comes_from_one_declaration()
    {
        var timeout = RolloutSettings.All.Single(s => s.Key == "Dns.Timeout");
        Assert.That((timeout.Variable, timeout.Argument), Is.EqualTo(("ROLLOUT_DNS_TIMEOUT", "dns-timeout")));
    }

    [Test]
    public void Sections_of_two_words_and_the_plain_section_are_spelt_as_people_type_them()
    {
        var settings = RolloutSettings.All.ToDictionary(s => s.Key);
        Assert.That(settings["Rollout.Environment"].Argument, Is.EqualTo("environment"));
        Assert.That(settings["Slots.BlueIngressClass"].Variable, Is.EqualTo("ROLLOUT_SLOTS_BLUE_INGRESS_CLASS"));
    }

    [Test]
    public void An_argument_beats_a_variable_beats_the_environments_file_beats_cake_config_beats_the_default()
    {
        Assert.That(Timeout().Source, Is.EqualTo("default"));
        File.WriteAllText(Path.Combine(_root, "cake.config"), "[Dns]\nTimeout=1\n");
        Assert.That((Timeout().Value, Timeout().Source), Is.EqualTo(("1", "cake.config")));
        File.WriteAllText(Path.Combine(_root, "environments", "embedded.config"), "[Dns]\nTimeout=2\n");
        Assert.That(Timeout().Value, Is.EqualTo("2"));
        var variables = new Dictionary<string, string?> { ["ROLLOUT_DNS_TIMEOUT"] = "3" };
        Assert.That((Timeout(variables: variables).Value, Timeout(variables: variables).Source), Is.EqualTo(("3", "environment variable ROLLOUT_DNS_TIMEOUT")));
        var arguments = new Dictionary<string, string?> { ["dns-timeout"] = "4" };
        Assert.That((Timeout(arguments, variables).Value, Timeout(arguments, variables).Source), Is.EqualTo(("4", "argument --dns-timeout")));
    }

    [Test]
    public void All_problems_are_told_at_once_with_key_value_allowed_and_source()
    {
        var error = Refused(new() { ["environment"] = "embeded", ["dns-timeout"] = "soon", ["traffic-https-port"] = "0" });
        Assert.That(error.ExitCode, Is.EqualTo(ExitCode.BadSettings));
        Assert.That(error.Message, Does.Contain("3 settings are wrong; nothing was touched"));
        Assert.That(error.Message, Does.Contain("Rollout.Environment: 'embeded' from argument --environment is not one of embedded, kind, staging, production."));
        Assert.That(error.Message, Does.Contain("Dns.Timeout: 'soon' from argument --dns-timeout is not a number of seconds above 0, at most 86400."));
        Assert.That(error.Message, Does.Contain("Traffic.HttpsPort: '0' from argument --traffic-https-port is not a whole number from 1 to 65535."));
    }

    [TestCase("NaN")]
    [TestCase("Infinity")]
    [TestCase("-1")]
    [TestCase("1e99")]
    public void A_time_must_be_a_sane_number_of_seconds(string text) =>
        Assert.That(Refused(new() { ["dns-timeout"] = text }).Message, Does.Contain("Dns.Timeout"));

    [Test]
    public void An_unknown_key_is_refused_with_the_nearest_known_one()
    {
        File.WriteAllText(Path.Combine(_root, "cake.config"), "[Dns]\nTimout=1\n");
        var error = Refused(new() { ["relase"] = "v1" }, new() { ["ROLLOUT_DNS_TIMEOT"] = "1" });
        Assert.That(error.Message, Does.Contain("Dns.Timout in cake.config: there is no such setting; did you mean Dns.Timeout."));
        Assert.That(error.Message, Does.Contain("--relase: there is no such argument; did you mean --release."));
        Assert.That(error.Message, Does.Contain("environment variable ROLLOUT_DNS_TIMEOT: there is no such setting; did you mean ROLLOUT_DNS_TIMEOUT."));
    }

    [Test]
    public void The_engines_own_sections_of_cake_config_are_left_alone()
    {
        File.WriteAllText(Path.Combine(_root, "cake.config"), "[Paths]\nTools=tools\n[Settings]\nSkipVerification=true\n");
        Assert.That(() => Resolve([], []), Throws.Nothing);
    }

    [Test]
    public void A_secret_is_refused_as_argument_and_in_a_file_and_its_value_is_never_shown()
    {
        File.WriteAllText(Path.Combine(_root, "cake.config"), "[Secrets]\nLinodeToken=hunter2\n");
        var error = Refused(new() { ["secrets-github-token"] = "hunter3" });
        Assert.That(error.Message, Does.Contain("Secrets.LinodeToken: a secret is not taken from cake.config"));
        Assert.That(error.Message, Does.Contain("Secrets.GithubToken: a secret is not taken as an argument"));
        Assert.That(error.Message, Does.Not.Contain("hunter"));
    }

    [Test]
    public void A_secret_comes_from_a_variable_or_from_the_file_that_a_variable_names()
    {
        var file = Path.Combine(_root, "token");
        File.WriteAllText(file, "from-file\n");
        var settings = Resolve([], new() { ["ROLLOUT_SECRETS_LINODE_TOKEN"] = "from-variable", ["ROLLOUT_SECRETS_GITHUB_TOKEN_FILE"] = file });
        Assert.That(settings.SecretOrNull("Secrets.LinodeToken")!.Reveal(), Is.EqualTo("from-variable"));
        Assert.That(settings.SecretOrNull("Secrets.GithubToken")!.Reveal(), Is.EqualTo("from-file"));
        Assert.That(settings.Values.Where(v => v.Setting.IsSecret && v.Value is not null).Select(v => v.Shown), Is.All.EqualTo("***"));
    }

    [Test]
    public void A_secrets_file_that_cannot_be_read_is_named()
    {
        var error = Refused([], new() { ["ROLLOUT_SECRETS_LINODE_TOKEN_FILE"] = "/nowhere/token" });
        Assert.That(error.Message, Does.Contain("ROLLOUT_SECRETS_LINODE_TOKEN_FILE names '/nowhere/token', which cannot be read"));
    }

    [Test]
    public void Outside_embedded_everything_that_is_missing_is_listed_with_how_to_give_it()
    {
        var error = Refused(new() { ["environment"] = "production" });
        Assert.That(error.Message, Does.Contain("Rollout.Release (the release tag) is missing: give --release=…, set ROLLOUT_RELEASE, or write [Rollout] Release=… into environments/production.config."));
        Assert.That(error.Message, Does.Contain("Secrets.LinodeToken").And.Contain("set ROLLOUT_SECRETS_LINODE_TOKEN or ROLLOUT_SECRETS_LINODE_TOKEN_FILE"));
    }

    [Test]
    public void What_only_another_DNS_provider_needs_is_not_asked_for()
    {
        var linode = Refused(new() { ["environment"] = "production" });
        var update = Refused(new() { ["environment"] = "production", ["dns-provider"] = "rfc2136" });
        Assert.That(linode.Message, Does.Contain("Secrets.LinodeToken (").And.Not.Contain("Dns.UpdateServer").And.Not.Contain("Secrets.DnsUpdateKey"));
        Assert.That(update.Message, Does.Not.Contain("Secrets.LinodeToken ("));
        Assert.That(update.Message, Does.Contain("Dns.UpdateServer (").And.Contain("Dns.UpdateKeyName (").And.Contain("set ROLLOUT_SECRETS_DNS_UPDATE_KEY or ROLLOUT_SECRETS_DNS_UPDATE_KEY_FILE"));
        Assert.That(Refused(new() { ["dns-provider"] = "rfc2136" }).Message, Does.Contain("Dns.UpdateServer ("), "in embedded too: its world has no server that takes updates");
    }

    [Test]
    public void A_broken_configuration_file_is_named()
    {
        File.WriteAllText(Path.Combine(_root, "cake.config"), "[Dns\nTimeout\n");
        Assert.That(Refused([]).Message, Does.Contain("cake.config cannot be read"));
    }

    [TestCase("staging", RollbackPolicy.Hold)]
    [TestCase("embedded", RollbackPolicy.Automatic)]
    public void Rolling_back_by_itself_is_for_rehearsals_unless_told(string environment, RollbackPolicy expected)
    {
        var variables = RolloutSettings.All.Where(s => s.IsSecret).ToDictionary(s => s.Variable, _ => (string?)"secret");
        var settings = Resolve(
            new() { ["environment"] = environment, ["release"] = "v1", ["platform"] = _root, ["cluster-context"] = "c", ["github-repository"] = "a/b" }, variables);
        Assert.That(settings.Rollback, Is.EqualTo(expected));
    }

    [Test]
    public void The_repositorys_own_configuration_files_hold_known_keys_only() => Assert.Multiple(() =>
    {
        foreach (var environment in new[] { "embedded", "kind", "staging", "production" })
        {
            try
            {
                RolloutSettings.Resolve(new Dictionary<string, string?> { ["environment"] = environment }, new Dictionary<string, string?>(), Repository.Root);
            }
            catch (RolloutException exception)
            {
                Assert.That(exception.Message, Does.Not.Contain("there is no such").And.Not.Contain("is not"), environment);
            }
        }
    });

    private RolloutException Refused(Dictionary<string, string?> arguments, Dictionary<string, string?>? variables = null) =>
        Assert.Throws<RolloutException>(() => Resolve(arguments, variables ?? []))!;

    private RolloutSettings Resolve(Dictionary<string, string?> arguments, Dictionary<string, string?> variables) =>
        RolloutSettings.Resolve(arguments, variables, _root);

    private SettingValue Timeout(Dictionary<string, string?>? arguments = null, Dictionary<string, string?>? variables = null) =>
        Resolve(arguments ?? [], variables ?? []).Values.Single(v => v.Setting.Key == "Dns.Timeout");
}
