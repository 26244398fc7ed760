using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using Xunit;

namespace VhostUser.Tests.Queues;

/// <summary>A driver ring and the device's ring on the same memory, each through a mapping of its own.</summary>
internal sealed unsafe class RingRig : IDisposable
{
    private readonly MappedGuest _guest;

    public RingRig(int size, ulong features = 0, uint? @base = null, TestMemory? memory = null)
    {
        Memory = memory ?? new TestMemory();
        _guest = Memory.Map(new GuardedProvider());
        Driver = DriverRing.Create(Memory, size, features);
        Device = Open(@base ?? Driver.InitialBase);
    }

    public TestMemory Memory { get; }

    public DriverRing Driver { get; }

    public Virtqueue Device { get; private set; }

    public GuestMemoryMap Map => _guest.Map;

    public DescriptorChain Chain { get; } = new();

    public SplitDriverRing Split => (SplitDriverRing)Driver;

    public PackedDriverRing Packed => (PackedDriverRing)Driver;

    public VirtqueueLayout Layout
    {
        get
        {
            (ulong descriptors, ulong driver, ulong device) = VirtqueueLayout.Sizes(Driver.IsPacked, Driver.Size);
            return new VirtqueueLayout
            {
                Size = Driver.Size,
                Descriptors = Find(Driver.Descriptors, descriptors),
                Driver = Find(Driver.Driver, driver),
                Device = Find(Driver.Device, device),
                LogAddress = Driver.IsPacked ? Driver.Descriptors : Driver.Device,
            };
        }
    }

    /// <summary>Makes the device's ring anew, as after a restart.</summary>
    public Virtqueue Open(uint @base, InflightQueueRegion? inflight = null)
    {
        Device = Virtqueue.Create(Layout, Driver.Features, @base, inflight);
        Device.Memory = _guest.Map;
        return Device;
    }

    public PopResult Pop() => Device.TryPop(Chain);

    /// <summary>Pops, gives back with so many bytes, and does not publish.</summary>
    public void Serve(uint written = 0)
    {
        Assert.Equal(PopResult.Chain, Pop());
        Device.AddUsed(Chain, written);
    }

    public List<UsedBuffer> Collect()
    {
        List<UsedBuffer> all = [];
        while (Driver.TryCollect(out UsedBuffer used))
            all.Add(used);

        return all;
    }

    public GuestRange Readable(int length = 16) => Memory.Buffer(length, writable: false);

    public GuestRange Writable(int length = 16) => Memory.Buffer(length, writable: true);

    public void Dispose()
    {
        _guest.Dispose();
        Memory.Dispose();
    }

    private byte* Find(GuestAddress address, ulong length)
    {
        byte* found = _guest.Map.FindRing(new FrontendAddress(address.Value), length, guestAddressesFirst: true, out _);
        Assert.True(found != null);
        return found;
    }
}
