using XenModel.Domains;

namespace XenModel.Guests.Virtio;

/// <summary>How a guest reaches a virtio device: registers and interrupts. Every access is one of a virtual CPU's.</summary>
internal abstract class VirtioTransport(Domain guest)
{
    /// <summary>Status bits (virtio 1.3, 2.1).</summary>
    public const byte Acknowledge = 1, Driver = 2, DriverOk = 4, FeaturesOk = 8, NeedsReset = 0x40;

    private long _kicks, _interrupts;

    protected Domain Guest { get; } = guest;

    /// <summary>The CPU that sets the device up.</summary>
    protected Vcpu BootCpu => Guest.Vcpus[0];

    /// <summary>For people: "0000:00:01.0", "mmio@2000000".</summary>
    public abstract string Name { get; }

    public abstract uint DeviceId { get; }

    public abstract byte Status { get; set; }

    /// <summary>Queues that the device has; only MMIO does not say.</summary>
    public virtual int QueueCount => int.MaxValue;

    /// <summary>How many CPUs take interrupts of queues: one each where the interrupts can be told apart.</summary>
    public abstract int InterruptTargets { get; }

    public long Kicks => Interlocked.Read(ref _kicks);

    public long Interrupts => Interlocked.Read(ref _interrupts);

    public abstract ulong ReadFeatures();

    public abstract void WriteFeatures(ulong features);

    /// <summary>Reads of the device's own configuration, little-endian.</summary>
    public abstract ulong ReadConfig(int offset, int size);

    /// <summary>Before the queues are set up.</summary>
    public abstract void SetUpInterrupts(int queues);

    public abstract int QueueSizeMax(int queue);

    /// <param name="cpu">Which CPU gets the queue's interrupts.</param>
    public abstract void SetUpQueue(int queue, int cpu, int size, ulong descriptors, ulong driver, ulong device);

    /// <summary>Tells the device of new buffers.</summary>
    public void Notify(Vcpu cpu, int queue)
    {
        Interlocked.Increment(ref _kicks);
        Ring(cpu, queue);
    }

    /// <summary>The CPU idles until an interrupt of the device comes, and handles it.</summary>
    /// <returns>False: none in time.</returns>
    public bool WaitForInterrupt(Vcpu cpu, TimeSpan timeout)
    {
        if (!Wait(cpu, timeout)) return false;
        Interlocked.Increment(ref _interrupts);
        return true;
    }

    /// <summary>Takes the device back to its beginning: done when it says so.</summary>
    /// <exception cref="GuestCheckException">It does not.</exception>
    public void Reset(TimeSpan deadline)
    {
        Status = 0;
        long end = Environment.TickCount64 + (long)deadline.TotalMilliseconds;
        while (Status != 0)
        {
            if (Environment.TickCount64 > end) throw new GuestCheckException($"{Name}: the reset does not end");
            Thread.Yield();
        }
    }

    protected abstract void Ring(Vcpu cpu, int queue);

    protected abstract bool Wait(Vcpu cpu, TimeSpan timeout);
}
