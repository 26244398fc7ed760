using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Session;
using VhostXen.Linux;

namespace TestKit;

/// <summary>A device served in this process, one session after the other, over socket pairs.</summary>
public sealed class TestBackend : IAsyncDisposable
{
    private readonly SessionOptions _options;
    private readonly IGuestMemoryProvider _provider;
    private readonly DeviceInstance _instance;

    private TestBackend(DeviceInstance instance, SessionOptions options, IGuestMemoryProvider provider, RecordingLogger log)
    {
        _instance = instance;
        _options = options;
        _provider = provider;
        Log = log;
    }

    public RecordingLogger Log { get; }

    /// <summary>The session of the latest <see cref="Connect"/>; ends when it has cleaned up.</summary>
    public Task Session { get; private set; } = Task.CompletedTask;

    /// <summary>Ends when the session of the latest <see cref="Connect"/> has given its front-end up.</summary>
    public Task? Hung { get; private set; }

    public static async Task<TestBackend> StartAsync(
        VirtioDevice device, SessionOptions? options = null, IGuestMemoryProvider? provider = null, bool ioUring = false)
    {
        var log = new RecordingLogger();
        DeviceInstance instance = await DeviceInstance.StartAsync("test", device, 1, new WorkerOptions { UseIoUring = ioUring }, log);
        return new TestBackend(instance, options ?? new SessionOptions(), provider ?? new SharedFileProvider(), log);
    }

    /// <summary>Starts a session and gives its other end.</summary>
    public RawFrontend Connect() => ConnectUntil(CancellationToken.None);

    /// <summary>Starts a session that a token can end.</summary>
    public RawFrontend ConnectUntil(CancellationToken cancellation)
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        var session = new BackendSession(ours, _instance, _provider, _options, Log);
        Session = Task.Run(() => session.RunAsync(cancellation), CancellationToken.None);
        Hung = session.Hung;
        return new RawFrontend(theirs);
    }

    /// <summary>Starts a session and gives its other end to a front-end of ours.</summary>
    public FrontendSession Open(FrontendOptions? options = null, CancellationToken end = default)
    {
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        var session = new BackendSession(ours, _instance, _provider, _options, Log);
        Session = Task.Run(() => session.RunAsync(end), CancellationToken.None);
        return new FrontendSession(theirs, options, Log);
    }

    public async ValueTask DisposeAsync()
    {
        await Session.WaitAsync(RawFrontend.Deadline);
        await _instance.DisposeAsync();
    }
}
