using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Devices;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Queues;
using VhostXen.Linux;

namespace Fuzz.Targets;

/// <summary>A disk with two queues on one worker: the first one's memory is scribbled on, the second one has an honest driver.</summary>
internal sealed unsafe class ScribbleRig : IDisposable
{
    private readonly TestMemory _hostile = RingWriter.NewMemory();
    private readonly TestMemory _honest = new((0UL, 0x40000UL));
    private readonly Rig _rig = new(new GuardedProvider());
    private readonly MappedGuest _hostileGuest;
    private readonly MappedGuest _honestGuest;
    private readonly RawRing _neighbour;
    private readonly GuestRange _header;
    private readonly GuestRange _id;
    private readonly EventFd _kick = EventFd.Create();
    private readonly EventFd _call = EventFd.Create();
    private readonly EventFd _error = EventFd.Create();
    private readonly Scribbler _scribbler;

    public ScribbleRig()
    {
        _hostileGuest = _hostile.Map(_rig.Memory);
        _honestGuest = _honest.Map(_rig.Memory);
        _neighbour = new RawRing(DriverRing.Create(_honest, 16), 1);
        _header = _honest.Buffer(16, writable: false);
        _id = _honest.Buffer(21, writable: true);
        _honest.Span(_header)[0] = 8;
        _scribbler = new Scribbler(_hostile);
        DriverRing ring = _neighbour.Ring;
        Start(1, _honestGuest, ring.Size, VirtioFeatures.Version1, 0, (ring.Descriptors.Value, ring.Driver.Value, ring.Device.Value), _neighbour.Kick, _neighbour.Call, _neighbour.Error);
    }

    public void Run(FuzzInput input, Behaviour seen, ulong features)
    {
        _rig.Complaints.Listen(seen);
        _hostile.All.Clear();
        bool packed = (features & VirtioFeatures.RingPacked) != 0;
        int size = packed ? 1 + input.Below(64) : 1 << input.Below(7);
        var writer = new RingWriter(input, _hostile, features, size);
        writer.Fill(0, wrap: true);
        Start(0, _hostileGuest, size, features, packed ? 0x8000_8000 : 0, (RingWriter.Descriptors, RingWriter.Driver, RingWriter.Device), _kick, _call, _error);
        _scribbler.Begin(input, packed, size);
        int kicks = 1 + input.Below(12);
        for (int i = 0; i < kicks; i++)
        {
            _kick.Signal();
            if (input.OneIn(4))
                ServeNeighbour();

            if (input.OneIn(3))
                writer.Change(input.Below(size), input.Flip());

            long round = _scribbler.Rounds;
            for (int spin = 0; spin < 200 && _scribbler.Rounds < round + 20; spin++)
                Thread.SpinWait(20);
        }

        bool first = input.Flip();
        if (first)
            _scribbler.Stop();

        Rig.Wait(_rig.Instance.Vrings[0].StopAsync());
        if (!first)
            _scribbler.Stop();

        seen.Saw(_error.Drain() ? "the ring is broken" : "the ring is whole");
        seen.Saw(_call.Drain() ? "the driver was called" : "the driver was not called");
        ServeNeighbour();
        _rig.Complaints.ThrowIfAny();
    }

    public void Dispose()
    {
        _rig.Dispose();
        _scribbler.Dispose();
        _neighbour.Dispose();
        _kick.Dispose();
        _call.Dispose();
        _error.Dispose();
        _hostileGuest.Dispose();
        _honestGuest.Dispose();
        _hostile.Dispose();
        _honest.Dispose();
    }

    private void ServeNeighbour()
    {
        _honest.Span(_id).Clear();
        _neighbour.Ring.Add(_header, _id);
        _neighbour.Kick.Signal();
        UsedBuffer used = _neighbour.Wait();
        FindingException.Require(used.Written == 21 && _honest.Span(_id)[..8].SequenceEqual("vhostxen"u8), "the neighbour's request is not done");
    }

    private void Start(
        int queue, MappedGuest guest, int size, ulong features, uint @base, (ulong Descriptors, ulong Driver, ulong Device) at, EventFd kick, EventFd call, EventFd error)
    {
        (ulong descriptors, ulong driver, ulong device) = VirtqueueLayout.Sizes((features & VirtioFeatures.RingPacked) != 0, size);
        var setup = new VringSetup
        {
            Layout = new VirtqueueLayout
            {
                Size = size,
                Descriptors = Find(guest, at.Descriptors, descriptors),
                Driver = Find(guest, at.Driver, driver),
                Device = Find(guest, at.Device, device),
            },
            Features = features,
            Base = @base,
            Memory = guest.Map,
            Kick = kick,
            Call = call,
            Error = error,
            Enabled = true,
        };
        Rig.Wait(_rig.Instance.Vrings[queue].StartAsync(setup));
    }

    private static byte* Find(MappedGuest guest, ulong address, ulong length)
        => guest.Map.FindRing(new FrontendAddress(address), length, guestAddressesFirst: true, out _);
}
