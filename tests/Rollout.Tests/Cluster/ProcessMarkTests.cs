using System.Diagnostics;
using Rollout.Cluster;
using Rollout.Tests.Support;

namespace Rollout.Tests.Cluster;

public sealed class ProcessMarkTests
{
    private ProcDouble _proc = null!;

    [SetUp]
    public void Begin() => _proc = new ProcDouble();

    [TearDown]
    public void End() => _proc.Dispose();

    [Test]
    public void A_mark_is_read_again_as_it_was_written()
    {
        var mark = ProcessMark.Current!;
        Assert.That(ProcessMark.Parse(mark.ToString()), Is.EqualTo(mark));
        Assert.That(mark.Pid, Is.EqualTo(Environment.ProcessId));
    }

    [TestCase(null)]
    [TestCase("")]
    [TestCase("garbage")]
    [TestCase("1/2/3")]
    [TestCase("8f3b2b4e-1c1d-4a3e-9d5f-0a1b2c3d4e5f/1/2/3/4")]
    [TestCase("8f3b2b4e-1c1d-4a3e-9d5f-0a1b2c3d4e5f/1/0/3")]
    [TestCase("8f3b2b4e-1c1d-4a3e-9d5f-0a1b2c3d4e5f/1/-2/3")]
    [TestCase("8f3b2b4e-1c1d-4a3e-9d5f-0a1b2c3d4e5f/1/2/99999999999999999999999")]
    [TestCase("8f3b2b4e-1c1d-4a3e-9d5f/1/2/3")]
    public void Anything_else_is_no_mark(string? text) => Assert.That(ProcessMark.Parse(text), Is.Null);

    [Test]
    public void This_process_lives() => Assert.That(ProcessMark.Current!.IsDead(), Is.False);

    [Test]
    public async Task A_process_that_was_killed_is_dead_also_before_its_parent_asks()
    {
        // Python does not wait for its child, which stays a zombie once it is killed; a shell may, whenever it reads.
        const string Parent = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); sys.stdin.readline()";
        using var shell = Process.Start(new ProcessStartInfo("python3", ["-c", Parent]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        var child = int.Parse((await shell.StandardOutput.ReadLineAsync())!, System.Globalization.CultureInfo.InvariantCulture);
        var stat = await File.ReadAllTextAsync($"/proc/{child}/stat");
        var mark = ProcessMark.Current! with { Pid = child, StartTime = ulong.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19], System.Globalization.CultureInfo.InvariantCulture) };
        Assert.That(mark.IsDead(), Is.False, "it sleeps");
        using var sleeper = Process.GetProcessById(child);
        sleeper.Kill();
        await Waiting.UntilAsync("the kill", _ => Task.FromResult(mark.IsDead()), dead => dead, _ => "it lives", TimeSpan.FromSeconds(20), TimeSpan.FromMilliseconds(5), TimeProvider.System, new Reports(), default);
        Assert.That(Directory.Exists($"/proc/{child}"), Is.True, "it was to be judged as a zombie");
        shell.StandardInput.Close();
        await shell.WaitForExitAsync();
    }

    [Test]
    public void A_process_whose_number_is_gone_is_dead()
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100);
        Assert.That(mark.IsDead(_proc.Root), Is.False, "it runs");
        _proc.End(100);
        Assert.That(mark.IsDead(_proc.Root), Is.True);
    }

    [Test]
    public void A_later_process_of_the_same_number_does_not_keep_it_alive()
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100);
        _proc.Run(100, 9000);
        Assert.That(mark.IsDead(_proc.Root), Is.True);
    }

    [TestCase('Z', true)]
    [TestCase('X', true)]
    [TestCase('S', false)]
    [TestCase('T', false, Description = "A stopped process may go on at any time.")]
    public void A_zombie_is_dead_and_a_stopped_process_is_not(char state, bool dead)
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100);
        _proc.Run(100, 5000, state: state);
        Assert.That(mark.IsDead(_proc.Root), Is.EqualTo(dead));
    }

    [Test]
    public void A_commands_name_may_look_like_the_fields_behind_it()
    {
        _proc.Run(100, 5000, command: "a) Z 1 (b c)");
        Assert.That(_proc.Mark(100).StartTime, Is.EqualTo(5000));
        Assert.That(_proc.Mark(100).IsDead(_proc.Root), Is.False);
    }

    [Test]
    public void A_process_of_another_boot_or_machine_is_not_judged()
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100) with { BootId = Guid.NewGuid() };
        _proc.End(100);
        Assert.That(mark.IsDead(_proc.Root), Is.False);
    }

    [Test]
    public void A_process_of_another_container_is_not_judged()
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100) with { PidNamespace = 4026531999 };
        _proc.End(100);
        Assert.That(mark.IsDead(_proc.Root), Is.False);
    }

    [TestCase("rw,hidepid=2")]
    [TestCase("rw,hidepid=invisible,gid=5")]
    public void A_process_that_may_be_hidden_is_not_judged(string options)
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100);
        _proc.Mount(options);
        _proc.End(100);
        Assert.That(mark.IsDead(_proc.Root), Is.False);
    }

    [Test]
    public void A_process_whose_state_cannot_be_read_is_not_judged()
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100);
        File.WriteAllText(Path.Combine(_proc.Root, "100", "stat"), "nothing of the kind");
        Assert.That(mark.IsDead(_proc.Root), Is.False);
        File.Delete(Path.Combine(_proc.Root, "100", "stat"));
        Assert.That(mark.IsDead(_proc.Root), Is.False);
    }

    [Test]
    public void Without_proc_there_is_no_mark_and_nobody_is_dead()
    {
        _proc.Run(100, 5000);
        var mark = _proc.Mark(100);
        var nowhere = Path.Combine(_proc.Root, "nowhere");
        Assert.That((ProcessMark.Own(nowhere), mark.IsDead(nowhere)), Is.EqualTo(((ProcessMark?)null, false)));
    }
}

/// <summary>A <c>/proc</c> of files: one machine, whose processes are begun and ended by the test.</summary>
internal sealed class ProcDouble : IDisposable
{
    private readonly Guid _boot = Guid.NewGuid();

    public ProcDouble()
    {
        Directory.CreateDirectory(Path.Combine(Root, "sys", "kernel", "random"));
        File.WriteAllText(Path.Combine(Root, "sys", "kernel", "random", "boot_id"), $"{_boot}\n");
        Directory.CreateDirectory(Path.Combine(Root, "self", "ns"));
        File.CreateSymbolicLink(Path.Combine(Root, "self", "ns", "pid"), "pid:[4026531836]");
        Mount("rw,nosuid");
        Be(1, 1);
    }

    public string Root { get; } = Directory.CreateTempSubdirectory("proc-").FullName;

    public void Mount(string options) => File.WriteAllText(Path.Combine(Root, "self", "mounts"), $"sysfs /sys sysfs rw 0 0\nproc /proc proc {options} 0 0\n");

    /// <summary>The process that looks is this one.</summary>
    public void Be(int pid, ulong start)
    {
        Run(pid, start);
        File.Copy(Path.Combine(Root, $"{pid}", "stat"), Path.Combine(Root, "self", "stat"), overwrite: true);
    }

    public void Run(int pid, ulong start, char state = 'S', string command = "Rollout")
    {
        Directory.CreateDirectory(Path.Combine(Root, $"{pid}"));
        File.WriteAllText(Path.Combine(Root, $"{pid}", "stat"), $"{pid} ({command}) {state} 1 1 1 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 {start} 3133440 394 18446744073709551615\n");
    }

    public void End(int pid) => Directory.Delete(Path.Combine(Root, $"{pid}"), recursive: true);

    public ProcessMark Mark(int pid)
    {
        var stat = File.ReadAllText(Path.Combine(Root, $"{pid}", "stat"));
        return new ProcessMark(_boot, 4026531836, pid, ulong.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19], System.Globalization.CultureInfo.InvariantCulture));
    }

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
