namespace VhostUser.Devices;

/// <summary>
/// What a back-end author implements: a virtio device without its transport. The library negotiates, maps
/// memory, runs the rings on worker threads and calls <see cref="QueueHandler"/>s with requests.
/// The methods of this class are called by the session, one at a time, never on the data path.
/// </summary>
public abstract class VirtioDevice : IDisposable
{
    private Action? _configChanged;
    private IFrontendChannel? _frontend;

    /// <summary>Device type in a word, as vhost-user.json names it: "block", "net", "rng".</summary>
    public abstract string Type { get; }

    /// <summary>Virtio device id (virtio 1.3, section 5): 1 net, 2 block, 4 entropy...</summary>
    public abstract uint DeviceId { get; }

    /// <summary>Queues that the device has, at most.</summary>
    public abstract int QueueCount { get; }

    /// <summary>What GET_QUEUE_NUM answers: the number of queues, or, as front-ends expect of network devices, of pairs.</summary>
    public virtual int ReportedQueueCount => QueueCount;

    /// <summary>Largest ring accepted.</summary>
    public virtual int MaxQueueSize => 32768;

    /// <summary>The device type's own feature bits (0 to 23 and 50 up); ring and transport bits are the library's.</summary>
    public abstract ulong Features { get; }

    /// <summary>Bytes of configuration space; 0 when there is none, and then CONFIG is not offered.</summary>
    public virtual int ConfigSize => 0;

    /// <summary>Whether the device can hand requests in flight to a successor (INFLIGHT_SHMFD): its requests may be done twice.</summary>
    public virtual bool SupportsInflight => true;

    /// <summary>Fills the configuration space as it is now. The span is zeroed and <see cref="ConfigSize"/> long.</summary>
    public virtual void ReadConfig(Span<byte> config)
    {
    }

    /// <summary>The driver (or a migration) writes configuration space; the range lies inside it.</summary>
    /// <returns>False to refuse: nothing there is writable.</returns>
    public virtual bool WriteConfig(int offset, ReadOnlySpan<byte> data) => false;

    /// <summary>The features that were negotiated, before any ring starts.</summary>
    public virtual void SetFeatures(ulong features)
    {
    }

    /// <summary>Makes the handler for one queue. Called once per queue and worker, on the control plane.</summary>
    /// <param name="worker">The thread that will run it.</param>
    /// <param name="queueIndex">From 0.</param>
    public abstract QueueHandler CreateHandler(VirtqueueWorker worker, int queueIndex);

    /// <summary>The guest reset the device (RESET_DEVICE), with all rings stopped.</summary>
    public virtual void Reset()
    {
    }

    /// <summary>Asks for a gratuitous announcement after a migration (SEND_RARP).</summary>
    /// <returns>False when the device is no network device.</returns>
    public virtual bool SendRarp(ReadOnlySpan<byte> mac) => false;

    /// <summary>The MTU the front-end configured (NET_SET_MTU).</summary>
    /// <returns>False to refuse.</returns>
    public virtual bool SetMtu(ushort mtu) => false;

    /// <summary>Whether the device has state beyond its rings (DEVICE_STATE). Offered only then.</summary>
    public virtual bool SupportsDeviceState => false;

    /// <summary>Writes the device's own state, with all rings stopped (SET_DEVICE_STATE_FD, save).</summary>
    public virtual void SaveState(Stream state)
    {
    }

    /// <summary>Reads state back (SET_DEVICE_STATE_FD, load). What it reads is input from outside.</summary>
    /// <exception cref="InvalidDataException">The state is not one of this device.</exception>
    public virtual void LoadState(Stream state)
    {
    }

    /// <summary>
    /// Bytes of each shared memory region that the device shows to the guest, by region id; 0 where an id is unused.
    /// At most 256. SHMEM_MAP is offered only when there are some.
    /// </summary>
    public virtual IReadOnlyList<ulong> SharedMemorySizes => [];

    /// <summary>Whether the device shares dma-bufs with other devices (SHARED_OBJECT). Offered only then.</summary>
    public virtual bool SharesObjects => false;

    /// <summary>The display's socket (GPU_SET_SOCKET).</summary>
    /// <param name="socket">Duplicate it to keep it: it is closed after the call.</param>
    /// <returns>False when the device is no GPU.</returns>
    public virtual bool SetGpuSocket(VhostXen.Linux.FileDescriptor socket) => false;

    public virtual void Dispose() => GC.SuppressFinalize(this);

    internal void SetFrontend(IFrontendChannel? frontend) => Volatile.Write(ref _frontend, frontend);

    internal void OnConfigChanged(Action? action) => Volatile.Write(ref _configChanged, action);

    /// <summary>The front-end that drives the device now, if it opened a channel for requests; else null.</summary>
    protected IFrontendChannel? Frontend => Volatile.Read(ref _frontend);

    /// <summary>Tells the front-end, and so the guest, that the configuration space changed. Any thread.</summary>
    protected void NotifyConfigChanged() => Volatile.Read(ref _configChanged)?.Invoke();
}
