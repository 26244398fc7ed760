using System.Diagnostics;
using VhostUser.Devices;
using VhostUser.Protocol;
using VhostXen.Linux;

namespace VhostUser.Session;

/// <summary>What one session knows about one ring. It owns the eventfds.</summary>
internal sealed class SessionVring(Vring vring) : IDisposable
{
    public Vring Vring { get; } = vring;

    public int Index => Vring.Index;

    /// <summary>Entries, or 0 before SET_VRING_NUM.</summary>
    public int Size { get; set; }

    public VringAddress? Address { get; set; }

    /// <summary>As SET_VRING_BASE sent it, or where the ring stopped.</summary>
    public uint Base { get; set; }

    public bool Enabled { get; set; }

    /// <summary>A kick descriptor, or word that there is none, has come since the ring stopped: it may start.</summary>
    public bool MayStart { get; set; }

    public bool Started { get; set; }

    /// <summary>Stopped in its tracks, since the IOMMU took away its memory; goes on with an IOTLB update.</summary>
    public bool Suspended { get; set; }

    /// <summary>When the wait for the device's requests began (<see cref="Stopwatch"/> ticks), or 0 while nobody waits.</summary>
    public long StoppingSince { get; private set; }

    /// <summary>Seconds of that wait after which it is logged again.</summary>
    public int NextReport { get; set; }

    public EventFd? Kick { get; private set; }

    public EventFd? Call { get; private set; }

    public EventFd? Error { get; private set; }

    public async Task SetKickAsync(EventFd? kick)
    {
        EventFd? old = Kick;
        Kick = kick;
        await Vring.SetKickAsync(kick).ConfigureAwait(false);
        old?.Dispose();
    }

    public async Task SetCallAsync(EventFd? call)
    {
        EventFd? old = Call;
        Call = call;
        await Vring.SetCallAsync(call).ConfigureAwait(false);
        old?.Dispose();
    }

    public async Task SetErrorAsync(EventFd? error)
    {
        EventFd? old = Error;
        Error = error;
        await Vring.SetErrorAsync(error).ConfigureAwait(false);
        old?.Dispose();
    }

    /// <summary>Takes nothing more and waits until nothing is in flight.</summary>
    public Task QuiesceAsync() => TimedAsync(Vring.QuiesceAsync());

    /// <summary>Stops the ring; its kick descriptor goes, the others stay.</summary>
    /// <param name="leaveInFlight">False to have every request given back; true where some may stay in the in-flight region.</param>
    public async Task StopAsync(bool leaveInFlight = false)
    {
        if (Started)
        {
            Task<uint> stopped = Vring.StopAsync(leaveInFlight);
            await TimedAsync(stopped).ConfigureAwait(false);
            Base = await stopped.ConfigureAwait(false);
            Started = false;
            Suspended = false;
        }

        MayStart = false;
        Kick?.Dispose();
        Kick = null;
    }

    /// <summary>Frees the worker where the front-end made an eventfd block under it.</summary>
    public void Unblock()
    {
        Call?.Unblock();
        Error?.Unblock();
    }

    /// <summary>Forgets what the driver set up, for RESET_DEVICE. The ring must be stopped.</summary>
    public void Reset()
    {
        Size = 0;
        Address = null;
        Base = 0;
        Enabled = false;
    }

    private async Task TimedAsync(Task task)
    {
        NextReport = 0;
        StoppingSince = Stopwatch.GetTimestamp();
        try
        {
            await task.ConfigureAwait(false);
        }
        finally
        {
            StoppingSince = 0;
        }
    }

    public void Dispose()
    {
        Kick?.Dispose();
        Call?.Dispose();
        Error?.Dispose();
    }
}
