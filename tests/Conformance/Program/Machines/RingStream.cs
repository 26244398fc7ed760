using System.Diagnostics;
using System.Runtime.CompilerServices;
using XenMemoryProvider.Abi;
using XenMemoryProvider.Kernel;

namespace Conformance.Machines;

/// <summary>
/// The guest's end of its xenstore ring, used from here: the page is mapped, and the agent sends the events. So xenstored
/// takes what is written for the guest's.
/// </summary>
internal sealed unsafe class RingStream(XenMapping page, Agent agent, uint port) : Stream
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(20);

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    private ref Xenstore.DomainInterface Ring => ref Unsafe.AsRef<Xenstore.DomainInterface>(page.Pointer);

    public override int Read(Span<byte> buffer)
    {
        Wait(() => Volatile.Read(ref Ring.ResponseProducer) != Ring.ResponseConsumer);
        uint consumer = Ring.ResponseConsumer;
        int count = (int)Math.Min(Volatile.Read(ref Ring.ResponseProducer) - consumer, (uint)buffer.Length);
        byte* from = (byte*)Unsafe.AsPointer(ref Ring.Response0);
        for (int i = 0; i < count; i++) buffer[i] = from[(consumer + (uint)i) % Xenstore.RingSize];

        // Releases: the bytes are read before xenstored may overwrite them.
        Volatile.Write(ref Ring.ResponseConsumer, consumer + (uint)count);
        Notify();
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        byte* to = (byte*)Unsafe.AsPointer(ref Ring.Request0);
        while (!buffer.IsEmpty)
        {
            Wait(() => Ring.RequestProducer - Volatile.Read(ref Ring.RequestConsumer) < Xenstore.RingSize);
            uint producer = Ring.RequestProducer;
            int count = (int)Math.Min(Xenstore.RingSize - (producer - Volatile.Read(ref Ring.RequestConsumer)), (uint)buffer.Length);
            for (int i = 0; i < count; i++) to[(producer + (uint)i) % Xenstore.RingSize] = buffer[i];
            Volatile.Write(ref Ring.RequestProducer, producer + (uint)count);
            Notify();
            buffer = buffer[count..];
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing) page.Dispose();
    }

    private void Notify()
    {
        var send = new EventChannelOp.Send { Port = port };
        XenException.Check(agent.Hypercall(Hypercall.EventChannelOp, (ulong)EventChannelOp.Command.Send, ref send), "send", agent.Domid);
    }

    private static void Wait(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        var wait = new SpinWait();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(start) > Deadline) throw new TimeoutException("xenstored does not answer the guest");
            wait.SpinOnce();
        }
    }
}
