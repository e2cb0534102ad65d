using System.Net;
using System.Net.Sockets;
using System.Text;
using Rehearsal.Controllers;

namespace Rehearsal.Tests.Controllers;

/// <summary>A container made by the tests: answers HTTP on the pod's address until it is disposed or told to exit.</summary>
internal sealed class FakeContainer : IRunningContainer
{
    private readonly TaskCompletionSource<int> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private readonly List<TcpListener> _listeners = [];
    private readonly Lock _lock = new();
    private volatile int _status = 200;

    public FakeContainer(ContainerStart start)
    {
        Start = start;
        foreach (var port in start.Ports)
        {
            var listener = new TcpListener(IPAddress.Parse(start.PodIp), port);
            listener.Start();
            _listeners.Add(listener);
            _ = AcceptAsync(listener);
        }
    }

    public ContainerStart Start { get; }

    public Task<int> Completion => _completion.Task;

    public bool Disposed => _stop.IsCancellationRequested;

    /// <summary>What was true at the moment the container was told to stop.</summary>
    public Func<string>? WhenStopped { get; set; }

    public string? SeenWhenStopped { get; private set; }

    /// <summary>True: ignores its termination signal.</summary>
    public bool Stubborn { get; set; }

    /// <summary>Answers from now on with that status.</summary>
    public int Status
    {
        get => _status;
        set => _status = value;
    }

    public void Exit(int code)
    {
        Close();
        _completion.TrySetResult(code);
    }

    public async ValueTask DisposeAsync()
    {
        SeenWhenStopped ??= WhenStopped?.Invoke();
        if (Stubborn)
        {
            await new TaskCompletionSource().Task;
        }

        Close();
        _completion.TrySetResult(0);
    }

    private void Close()
    {
        lock (_lock)
        {
            _stop.Cancel();
            _listeners.ForEach(listener => listener.Stop());
            _listeners.Clear();
        }
    }

    private async Task AcceptAsync(TcpListener listener)
    {
        try
        {
            while (true)
            {
                _ = AnswerAsync(await listener.AcceptTcpClientAsync(_stop.Token));
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task AnswerAsync(TcpClient client)
    {
        using (client)
        {
            var stream = client.GetStream();
            var buffer = new byte[4096];
            _ = await stream.ReadAsync(buffer, _stop.Token);
            var body = Encoding.ASCII.GetBytes($"HTTP/1.1 {_status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            await stream.WriteAsync(body, _stop.Token);
        }
    }
}
