using TestKit;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace EndToEnd.Disks;

/// <summary>A virtio-blk driver and the front-end in front of it: connects, sets rings up, sends requests, waits for them.</summary>
internal sealed class DiskDriver : IAsyncDisposable
{
    public const int RingSize = 128;
    public const int MaxBytes = 64 << 10;
    private const int WaitMs = 20_000;

    private readonly DiskGuest _guest;
    private readonly DriverRing[] _rings;
    private readonly EventFd[] _kicks;
    private readonly EventFd[] _calls;
    private readonly Dictionary<ushort, DiskRequest>[] _pending;

    private DiskDriver(DiskGuest guest, FrontendSession session, int queues, ulong features)
    {
        _guest = guest;
        Session = session;
        _rings = [.. Enumerable.Range(0, queues).Select(_ => DriverRing.Create(guest.Memory, RingSize, features, guest.Rings))];
        _kicks = [.. _rings.Select(static _ => EventFd.Create())];
        _calls = [.. _rings.Select(static _ => EventFd.Create())];
        _pending = [.. _rings.Select(static _ => new Dictionary<ushort, DiskRequest>())];
    }

    public FrontendSession Session { get; }

    public int OutstandingOn(int queue) => _rings[queue].Outstanding;

    public static async Task<DiskDriver> ConnectAsync(string socket, DiskGuest guest, int queues = 2, ulong ringFeatures = VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx)
    {
        FrontendSession session = FrontendSession.Connect(socket, new FrontendOptions { WantedProtocol = guest.Protocol });
        await session.NegotiateAsync();
        ulong features = session.OfferedFeatures & ~(VirtioFeatures.RingPacked | VirtioFeatures.InOrder | VirtioFeatures.AccessPlatform | VirtioFeatures.LogAll)
            & ~(VirtioFeatures.IndirectDesc | VirtioFeatures.EventIdx) | ringFeatures;
        await session.SetFeaturesAsync(features);
        await session.SetMemoryAsync(guest.Regions);
        var driver = new DiskDriver(guest, session, queues, features);
        for (int i = 0; i < queues; i++) await session.StartRingAsync(driver.Describe(i, driver._rings[i].InitialBase));
        return driver;
    }

    /// <summary>Memory for one request after the other.</summary>
    public DiskRequest NewRequest() => new(_guest);

    /// <summary>Puts a request into a ring.</summary>
    public void Submit(int queue, DiskRequest request, bool indirect = false)
    {
        ushort id = _rings[queue].Add(request.Chain, indirect);
        _pending[queue].Add(id, request);
        if (_rings[queue].NeedsKick()) _kicks[queue].Signal();
    }

    /// <summary>Takes the next used entry of a ring, waiting for it.</summary>
    public DiskRequest Next(int queue)
    {
        DriverRing ring = _rings[queue];
        UsedBuffer used;
        while (!ring.TryCollect(out used))
        {
            if (ring.AllowInterrupts()) continue;
            Span<pollfd> poll = [new pollfd { fd = _calls[queue].Handle.Value, events = POLLIN }];
            if (FileIO.Poll(poll, WaitMs) != 1) throw new TimeoutException($"the disk does not answer on queue {queue}");
            _calls[queue].Drain();
        }

        _pending[queue].Remove(used.Id, out DiskRequest? request);
        _guest.CheckReleased(request!.Chain);
        return request;
    }

    /// <summary>One request, to its end.</summary>
    public byte Run(DiskRequest request, int queue = 0, bool indirect = false)
    {
        Submit(queue, request, indirect);
        Next(queue);
        return request.Status;
    }

    public async ValueTask DisposeAsync()
    {
        await Session.DisposeAsync();
        foreach (EventFd fd in (ReadOnlySpan<EventFd>)[.. _kicks, .. _calls]) fd.Dispose();
    }

    private FrontendRing Describe(int queue, uint @base) => new()
    {
        Index = queue,
        Size = RingSize,
        Descriptors = _guest.RingAddress(_rings[queue].Descriptors),
        Available = _guest.RingAddress(_rings[queue].Driver),
        Used = _guest.RingAddress(_rings[queue].Device),
        Kick = _kicks[queue],
        Call = _calls[queue],
        Base = @base,
    };
}
