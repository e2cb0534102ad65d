using System.Collections.Concurrent;
using Rehearsal.Cluster;
using Rehearsal.Controllers;
using Rehearsal.Tests.Controllers;

namespace Rehearsal.Tests.Contract;

/// <summary>
/// The embedded API server answers as a real one does, but for the differences that are listed. The real one is the cluster of
/// CONTRACT_KUBECONFIG, or the recordings of an earlier one; see the folder's README.
/// </summary>
[Parallelizable(ParallelScope.All)]
public sealed class ContractTests
{
    private const string Node = "node-1";

    private static readonly IReadOnlyList<ContractCase> Cases = ContractCase.Read(Path.Combine(ContractRecord.Folder, "Cases"));
    private static readonly Lazy<ContractRecord> Record = new(() => ContractRecord.Read(Cases));

    private readonly ConcurrentDictionary<string, (string Real, string Embedded)> _found = new();
    private readonly ConcurrentQueue<string> _complaints = new();
    private string _directory = null!;
    private ObjectStore _store = null!;
    private ClusterControllers _controllers = null!;
    private ApiServer _server = null!;
    private ContractTools _tools = null!;
    private ContractServer _embedded = null!;
    private ContractServer? _real;

    private static bool Recording => Environment.GetEnvironmentVariable("CONTRACT_RECORD") == "1";

    private static IEnumerable<TestCaseData> All => Cases.Select(item => new TestCaseData(item).SetName(item.Name));

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _tools = await ContractTools.FindAsync();
        _directory = Directory.CreateTempSubdirectory("contract-test-").FullName;
        _store = new ObjectStore(TimeProvider.System, Path.Combine(_directory, "store"));
        _controllers = new ClusterControllers(
            _store,
            new ControllersOptions { Directory = Path.Combine(_directory, "node"), Node = Node, Images = Image, Complain = _complaints.Enqueue },
            TimeProvider.System);
        _controllers.Start();
        var options = new ApiServerOptions
        {
            Directory = Path.Combine(_directory, "api"),
            Node = _controllers.Node,
            Complain = _complaints.Enqueue,
        };
        _server = await ApiServer.StartAsync(options, _store, TimeProvider.System, default);
        _embedded = await ContractServer.ConnectAsync(_tools, _server.WriteKubeconfig(Path.Combine(_directory, "kubeconfig")));
        if (Environment.GetEnvironmentVariable("CONTRACT_KUBECONFIG") is { Length: > 0 } kubeconfig)
        {
            _real = await ContractServer.ConnectAsync(_tools, kubeconfig);
        }
        else if (_tools.Versions != Record.Value.Tools)
        {
            Assert.Ignore(
                $"the answers were recorded with {Record.Value.Tools}, and here are {_tools.Versions}; put those into ROLLOUT_TOOLS, or "
                + "name a real cluster's kubeconfig in CONTRACT_KUBECONFIG");
        }
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        if (Recording && !_found.IsEmpty)
        {
            Record.Value.Write(Cases, _found, _real?.Version ?? Record.Value.Server, _tools.Versions);
        }

        if (!_found.IsEmpty)
        {
            await TestContext.Error.WriteLineAsync(
                $"contract: {Cases.Count} cases, {Record.Value.Differences.Count} listed differences "
                + $"({_found.Count} compared with {(_real is null ? $"the recordings of {Record.Value.Server}" : $"a cluster of {_real.Version}")})");
        }

        _embedded?.Dispose();
        _real?.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
            await _controllers.DisposeAsync();
            _store.Dispose();
            Directory.Delete(_directory, recursive: true);
        }
    }

    [TestCaseSource(nameof(All))]
    public async Task Embedded_server_answers_as_a_real_one(ContractCase item)
    {
        var embedding = _embedded.RunAsync(item);
        var recorded = Record.Value.Answer(item);
        var real = _real is null ? recorded : await _real.RunAsync(item);
        var embedded = await embedding;
        Assert.That(real, Is.Not.Null, "never recorded: run with CONTRACT_KUBECONFIG and CONTRACT_RECORD=1");
        _found[item.Name] = (real!, embedded);
        if (Recording)
        {
            return;
        }

        var sameVersion = _real is null || _real.Version == Record.Value.Server;
        if (sameVersion)
        {
            Assert.That(real, Is.EqualTo(recorded), "the recording is out of date: record again with CONTRACT_RECORD=1");
        }

        var listed = Record.Value.Differences.GetValueOrDefault(item.Name);
        var difference = ContractRecord.Compare(real!, embedded);
        // What is listed was found on the recorded version; another one may differ otherwise there, or no longer.
        if (sameVersion || listed is null)
        {
            Assert.That(difference, Is.EqualTo(listed?.Lines ?? ""), $"- real, + embedded; {string.Join(" | ", _complaints)}");
        }
    }

    [Test]
    public void Each_case_has_a_name_of_its_own_and_each_recording_and_difference_a_case()
    {
        Assert.That(Cases.Select(item => item.Name), Is.Unique);
        Assert.That(Record.Value.Differences.Keys, Is.SubsetOf(Cases.Select(item => item.Name)));
    }

    [Test]
    public void Readme_lists_every_difference_and_no_other()
    {
        var rows = File.ReadLines(Path.Combine(ContractRecord.Folder, "../../../build/Rehearsal/README.md"))
            .SkipWhile(line => !line.StartsWith("| case | ", StringComparison.Ordinal))
            .Skip(2)
            .TakeWhile(line => line.StartsWith('|'));
        Assert.That(
            rows,
            Is.EqualTo(Record.Value.Differences.Select(pair => $"| {pair.Key} | {pair.Value.What} | {pair.Value.Why} |")),
            "build/Rehearsal/README.md and differences.txt");
        Assert.That(Record.Value.Differences.Values.Select(listed => listed.Why), Has.None.EqualTo(ContractRecord.Unknown));
    }

    private static ContainerImage? Image(string image) => image == "contract/pause:1"
        ? (start, _) => start.Command.Count == 0
            ? Task.FromResult<IRunningContainer>(new FakeContainer(start))
            : throw new InvalidOperationException($"there is no {start.Command[0]} in the image")
        : null;
}
