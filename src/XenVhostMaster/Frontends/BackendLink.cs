using Microsoft.Extensions.Logging;
using Polly;
using Polly.Retry;
using System.Threading.Channels;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using XenVhostMaster.Transports;

namespace XenVhostMaster.Frontends;

/// <summary>
/// The control plane of one device: a connection to its back-end, made again whenever it breaks, and the orders of the
/// register model carried out over it, one after the other, by one task.
/// </summary>
internal sealed partial class BackendLink : IDeviceControl, IBackendRequestHandler, IAsyncDisposable
{
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(1);

    private readonly IGuestSide _guest;
    private readonly ILogger _logger;
    private readonly ResiliencePipeline _connecting;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    private readonly LogBudget _guestsLines = new();

    private FrontendSession? _session;
    private VirtioDeviceModel? _model;
    private EventFd[] _kicks = [];
    private EventFd[] _calls = [];
    private EventFd[] _errors = [];
    private Task _loop = Task.CompletedTask;
    private int _configSize = -1;
    private int _queues;

    public BackendLink(BackendOptions options, IGuestSide guest, ILogger logger)
    {
        Options = options;
        _guest = guest;
        _logger = logger;
        _connecting = new ResiliencePipelineBuilder().AddRetry(new RetryStrategyOptions
        {
            // Whatever it is: the task that waits for a connection has nobody to tell, and would find it failed again at once.
            ShouldHandle = new PredicateBuilder().Handle<Exception>(static e => e is not OperationCanceledException),
            BackoffType = DelayBackoffType.Exponential,
            Delay = FirstDelay,
            MaxDelay = LongestDelay,
            UseJitter = true,
            MaxRetryAttempts = int.MaxValue,
            OnRetry = retry =>
            {
                // The first time and then about every half minute: enough for who watches, too little to fill a disk.
                if (retry.AttemptNumber == 2 || retry.AttemptNumber % 32 == 31)
                    _logger.Waiting(Options.Name, retry.Outcome.Exception!.Message);

                return ValueTask.CompletedTask;
            },
        }).Build();
    }

    public BackendOptions Options { get; }

    /// <summary>How often a back-end was found again after it had gone.</summary>
    public int Reconnections { get; private set; }

    /// <summary>Kicks that were passed on.</summary>
    public long Kicks { get; private set; }

    /// <summary>Calls that were taken.</summary>
    public long Calls { get; private set; }

    /// <summary>Waits for the back-end and asks what it is.</summary>
    /// <exception cref="FrontendException">It is not one that can serve this guest.</exception>
    public async Task<BackendFacts> ConnectAsync(CancellationToken cancellation)
    {
        _session = await _connecting.ExecuteAsync(static async (link, token) => await link.OpenAsync(token).ConfigureAwait(false), this, cancellation).ConfigureAwait(false);
        byte[] config = await ReadConfigAsync(_session, cancellation).ConfigureAwait(false);
        _queues = QueueRules.Count(Options, _session, config);
        _logger.Connected(Options.Name, _queues, _session.OfferedFeatures);
        return new BackendFacts(_session.OfferedFeatures, _queues, config);
    }

    /// <summary>Gives the link its device and lets it work. On the I/O thread, or before that runs.</summary>
    public void Run(VirtioDeviceModel model)
    {
        _model = model;
        _kicks = MakeEventFds();
        _calls = MakeEventFds();
        _errors = MakeEventFds();
        for (int i = 0; i < _queues; i++)
        {
            int queue = i;
            _guest.Watch(_calls[i], () => OnCall(queue));
            _guest.Watch(_errors[i], () => OnRingError(queue));
        }

        _loop = Task.Run(() => RunAsync(_stop.Token));
    }

    public void ConfigChanged() => Order(Orders.ReadConfig);

    public void Call(int queue)
    {
        if ((uint)queue < (uint)_calls.Length)
            _calls[queue].Signal();
    }

    public void RingError(int queue)
    {
        if ((uint)queue < (uint)_errors.Length)
            _errors[queue].Signal();
    }

    /// <summary>Ends the task, stops the rings and hangs up. Nothing of the back-end's touches the guest afterwards.</summary>
    public async Task StopAsync()
    {
        if (_stop.IsCancellationRequested)
            return;

        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        if (_session is { } session)
        {
            _session = null;
            await StopAllAsync(session).ConfigureAwait(false);
            await session.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The I/O thread takes no more calls. On that thread.</summary>
    public void Unwatch()
    {
        foreach (EventFd fd in (IEnumerable<EventFd>)[.. _calls, .. _errors])
            _guest.Unwatch(fd);
    }

    /// <summary>After <see cref="Unwatch"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        foreach (EventFd fd in (IEnumerable<EventFd>)[.. _kicks, .. _calls, .. _errors])
            fd.Dispose();

        _inflight?.Dispose();
        _stop.Dispose();
    }

    private EventFd[] MakeEventFds() => [.. Enumerable.Range(0, _queues).Select(static _ => EventFd.Create())];

    private async Task<FrontendSession> OpenAsync(CancellationToken cancellation)
    {
        var session = FrontendSession.Connect(Options.Socket, new FrontendOptions { WantedProtocol = Wanted, Handler = this }, _logger);
        try
        {
            await session.NegotiateAsync(cancellation).ConfigureAwait(false);
            return session.Has(ProtocolFeatures.XenMmap)
                ? session
                : throw new FrontendException("the back-end does not offer VHOST_USER_PROTOCOL_F_XEN_MMAP, without which it cannot reach a Xen guest's memory");
        }
        catch
        {
            await session.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Reads all of it. Some back-ends refuse to read past its end, so that its size has to be found first.</summary>
    private async Task<byte[]> ReadConfigAsync(FrontendSession session, CancellationToken cancellation)
    {
        if (!session.Has(ProtocolFeatures.Config))
            return [];

        if (_configSize >= 0)
            return _configSize == 0 ? [] : await session.GetConfigAsync(0, _configSize, cancellation).ConfigureAwait(false);

        foreach (int size in QueueRules.ConfigSizes)
        {
            try
            {
                byte[] config = await session.GetConfigAsync(0, size, cancellation).ConfigureAwait(false);
                _configSize = size;
                return config;
            }
            catch (FrontendException) when (!session.Closed.IsCompleted)
            {
                // Too much for this one.
            }
        }

        _configSize = 0;
        return [];
    }

    private void OnCall(int queue)
    {
        if (!_calls[queue].Drain())
            return;

        Calls++;
        _model!.QueueUsed(queue);
    }

    private void OnRingError(int queue)
    {
        if (!_errors[queue].Drain())
            return;

        if (_guestsLines.TryTake())
            _logger.RingBroken(Options.Name, queue);

        _model!.Fail();
    }
}
