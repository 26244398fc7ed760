using VhostUser.Memory;
using VhostUser.Session;
using VhostXen.Linux;
using static VhostXen.Linux.LibC;

namespace TestKit;

/// <summary>A driver's ring together with the descriptors that a front-end gave the back-end for it.</summary>
public sealed class RawRing(DriverRing ring, uint index) : IDisposable
{
    public DriverRing Ring { get; } = ring;

    public uint Index { get; } = index;

    public EventFd Kick { get; } = EventFd.Create();

    public EventFd Call { get; } = EventFd.Create();

    public EventFd Error { get; } = EventFd.Create();

    /// <summary>Sends bytes through an echo device and returns what came back.</summary>
    public byte[] Echo(byte[] data)
    {
        GuestRange output = Post(data);
        UsedBuffer used = Wait();
        return Ring.Memory.Span(output)[..(int)used.Written].ToArray();
    }

    /// <summary>Makes a request available and kicks.</summary>
    /// <returns>Where the answer will be.</returns>
    public GuestRange Post(byte[] data)
    {
        GuestRange input = Ring.Memory.Buffer(data.Length, writable: false);
        GuestRange output = Ring.Memory.Buffer(data.Length, writable: true);
        data.CopyTo(Ring.Memory.Span(input));
        Ring.Add(input, output);
        Kick.Signal();
        return output;
    }

    /// <summary>Waits for a used entry.</summary>
    /// <exception cref="TimeoutException">None came.</exception>
    public UsedBuffer Wait()
    {
        while (true)
        {
            if (Ring.TryCollect(out UsedBuffer used))
                return used;

            // The driver says what it wants to hear of, and looks once more.
            if (!Ring.AllowInterrupts())
                WaitFor(Call, "used entry");
        }
    }

    /// <summary>Waits for a signal on one of the descriptors.</summary>
    public static void WaitFor(EventFd signal, string what)
    {
        Span<pollfd> poll = [new pollfd { fd = signal.Handle.Value, events = POLLIN }];
        if (FileIO.Poll(poll, (int)RawFrontend.Deadline.TotalMilliseconds) == 0)
            throw new TimeoutException($"no {what} before the deadline");

        signal.Drain();
    }

    /// <summary>The same for a <see cref="FrontendSession"/>, at the base of a ring that has never run.</summary>
    public FrontendRing Describe() => new()
    {
        Index = (int)Index,
        Size = Ring.Size,
        Descriptors = Ring.Memory.ToUser(Ring.Descriptors),
        Available = Ring.Memory.ToUser(Ring.Driver),
        Used = Ring.Memory.ToUser(Ring.Device),
        Kick = Kick,
        Call = Call,
        Error = Error,
        Base = Ring.InitialBase,
    };

    public void Dispose()
    {
        Kick.Dispose();
        Call.Dispose();
        Error.Dispose();
    }
}
