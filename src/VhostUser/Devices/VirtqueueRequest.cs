using VhostUser.Memory;
using VhostUser.Queues;
using VhostXen.Linux;

namespace VhostUser.Devices;

/// <summary>
/// One request of the driver: what it lets the device read, then what the device may write. Pooled and used
/// again; valid from <see cref="QueueHandler.Process"/> to <see cref="Complete"/>.
/// </summary>
public sealed unsafe class VirtqueueRequest
{
    private readonly Vring _vring;
    private readonly IovecList _readable = new();
    private readonly IovecList _writable = new();
    private bool _taken;

    internal VirtqueueRequest(Vring vring, int slot)
    {
        _vring = vring;
        Slot = slot;
    }

    /// <summary>The queue it came from.</summary>
    public int QueueIndex => _vring.Index;

    /// <summary>A number that no other request of the queue has at the same time, below the ring's size.</summary>
    public int Slot { get; }

    /// <summary>The buffers that the device reads.</summary>
    public ReadOnlySpan<iovec> Readable => _readable.Span;

    /// <summary>The buffers that the device may write.</summary>
    public ReadOnlySpan<iovec> Writable => _writable.Span;

    public ulong ReadableLength => _readable.Length;

    public ulong WritableLength => _writable.Length;

    /// <summary>True when a buffer is not there (ballooned out, a revoked grant): its entries have a null base. Fail the request.</summary>
    public bool Faulted { get; internal set; }

    /// <summary>False when the kernel cannot pin the buffers: no O_DIRECT and no fixed buffers on them.</summary>
    public bool CanPin { get; internal set; }

    /// <summary>The device's own, kept with the pooled object: make it once, find it again.</summary>
    public object? State { get; set; }

    internal DescriptorChain Chain { get; } = new();

    internal MemoryLease Lease { get; set; }

    internal VirtqueueRequest? Next { get; set; }

    internal List<GuestRange>? Translated { get; set; }

    internal uint Written { get; set; }

    /// <summary>Copies from the readable buffers.</summary>
    /// <param name="offset">Bytes into them.</param>
    /// <param name="destination">Where to.</param>
    /// <returns>Bytes copied: fewer than asked at the end, or at a hole.</returns>
    public int CopyFrom(ulong offset, Span<byte> destination)
    {
        int copied = 0;
        foreach (ref readonly iovec entry in _readable.Span)
        {
            if (copied == destination.Length)
                break;

            if (offset >= entry.iov_len)
            {
                offset -= entry.iov_len;
                continue;
            }

            if (entry.iov_base == null)
                break;

            int part = (int)Math.Min(entry.iov_len - offset, (ulong)(destination.Length - copied));

            // SAFETY: the entry was resolved against a live mapping that the lease keeps until Complete.
            new ReadOnlySpan<byte>((byte*)entry.iov_base + offset, part).CopyTo(destination[copied..]);
            copied += part;
            offset = 0;
        }

        return copied;
    }

    /// <summary>Copies into the writable buffers.</summary>
    /// <param name="offset">Bytes into them.</param>
    /// <param name="source">What.</param>
    /// <returns>Bytes copied: fewer than asked at the end, or at a hole.</returns>
    public int CopyTo(ulong offset, ReadOnlySpan<byte> source)
    {
        int copied = 0;
        foreach (ref readonly iovec entry in _writable.Span)
        {
            if (copied == source.Length)
                break;

            if (offset >= entry.iov_len)
            {
                offset -= entry.iov_len;
                continue;
            }

            if (entry.iov_base == null)
                break;

            int part = (int)Math.Min(entry.iov_len - offset, (ulong)(source.Length - copied));

            // SAFETY: as in CopyFrom.
            source.Slice(copied, part).CopyTo(new Span<byte>((byte*)entry.iov_base + offset, part));
            copied += part;
            offset = 0;
        }

        return copied;
    }

    /// <summary>Gives the request back to the driver, on the worker thread.</summary>
    /// <param name="written">Bytes written into the writable buffers, from their start.</param>
    /// <exception cref="InvalidOperationException">It has been completed already.</exception>
    public void Complete(uint written)
    {
        if (!_taken)
            throw new InvalidOperationException($"request {Slot} of queue {QueueIndex} was completed twice");

        _taken = false;
        Written = written;
        _vring.Complete(this);
    }

    /// <summary>
    /// Leaves the request to a successor, on the worker thread and between <see cref="QueueHandler.Suspend"/> and the next
    /// start: it is not shown to the driver, and stays written down in the in-flight region. The device is through with
    /// it: nothing of it may reach the guest's memory or a disk any more.
    /// </summary>
    /// <exception cref="InvalidOperationException">It has been completed already, or the ring is not being suspended.</exception>
    public void Suspend()
    {
        if (!_taken || !_vring.MaySuspend)
            throw new InvalidOperationException($"request {Slot} of queue {QueueIndex} cannot be left to a successor");

        _taken = false;
        _vring.Suspend(this);
    }

    /// <summary>Gives the request back from any other thread; the worker publishes it.</summary>
    public void CompleteFromAnyThread(uint written)
    {
        Written = written;
        _vring.CompleteLater(this);
    }

    internal ResolveResult Resolve(GuestMemoryMap memory, ReadOnlySpan<GuestRange> ranges)
    {
        _readable.Clear();
        _writable.Clear();
        ResolveResult result = memory.Resolve(ranges, _readable, _writable, out bool canPin, out MemoryLease lease);
        CanPin = canPin;
        Lease = lease;
        Faulted = result == ResolveResult.Hole;
        _taken = result != ResolveResult.OutsideMemory;
        return result;
    }
}
