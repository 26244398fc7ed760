using Fuzz.Engine;
using Fuzz.Oracles;
using TestKit;
using VhostUser.Memory;
using VhostUser.Protocol;
using VhostUser.Session;
using VhostXen.Linux;

namespace Fuzz.Targets;

/// <summary>
/// The message stream: a whole session with the block device behind it, and a front-end that says what it likes: legal
/// messages, nearly legal ones, in any order, cut short, with right and wrong descriptors; and a driver that runs the rings.
/// Afterwards nothing of what it sent is left.
/// </summary>
internal sealed class MessageTarget : FuzzTarget
{
    private readonly Rig _rig = new(new SharedFileProvider());
    private int _runs;

    public override int MaxLength => 1024;

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _rig.Complaints.Listen(seen);
        _rig.Store.Late = input.OneIn(4);
        var options = new SessionOptions
        {
            AccessPlatform = input.OneIn(4),
            InbandNotifications = input.OneIn(4),
            Postcopy = !input.OneIn(4),
            MaxMemorySlots = input.Pick(509, 3),
        };
        Serve(options, (frontend, memory) =>
        {
            using var files = new SentFiles(memory, frontend.Socket);
            new FrontendStory(input, frontend, memory, files, options, _rig.Device).Tell();
        }, seen);

        if (++_runs % 64 == 0)
            Serve(new SessionOptions(), (frontend, memory) => Prove(frontend, memory), seen);
    }

    public override void Dispose() => _rig.Dispose();

    /// <summary>A session of an honest front-end: the device still does its work.</summary>
    public void Prove()
        => Serve(new SessionOptions(), (frontend, memory) => Prove(frontend, memory), new Behaviour());

    private void Serve(SessionOptions options, Action<HostileFrontend, TestMemory> act, Behaviour seen)
    {
        using TestMemory memory = new((0UL, 0x10000UL), (0x1_0000_0000UL, 0x8000UL), (0x1_0000_8000UL, 0x8000UL));
        (FileDescriptor ours, FileDescriptor theirs) = FdSocket.Pair();
        Task session;
        using (var frontend = new HostileFrontend(ours, seen))
        {
            var served = new BackendSession(theirs, _rig.Instance, _rig.Memory, options, _rig.Complaints);
            session = Task.Run(() => served.RunAsync(CancellationToken.None));
            act(frontend, memory);
        }

        Rig.Wait(session);
        _rig.Complaints.ThrowIfAny();
        FindingException.Require(_rig.Memory.Count == 0, $"{_rig.Memory.Count} regions are still mapped after the session");
    }

    private void Prove(HostileFrontend frontend, TestMemory memory)
    {
        _rig.Store.Late = false;
        DriverRing ring = DriverRing.Create(memory, 16);
        using EventFd kick = EventFd.Create();
        using EventFd call = EventFd.Create();
        frontend.Send((uint)FrontendRequest.SetFeatures, RawFrontend.Bytes(new UInt64Payload(VirtioFeatures.Version1)), false);
        frontend.Send((uint)FrontendRequest.SetMemTable, RawFrontend.Table(memory.Regions), false, RawFrontend.Files(memory));
        frontend.Send((uint)FrontendRequest.SetVringNum, RawFrontend.Bytes(new VringState(0, 16)), false);
        frontend.Send((uint)FrontendRequest.SetVringAddr, RawFrontend.Bytes(RawFrontend.Address(ring, 0)), false);
        frontend.Send((uint)FrontendRequest.SetVringCall, RawFrontend.Bytes(new VringFd(0, true)), false, call.Handle);
        frontend.Send((uint)FrontendRequest.SetVringKick, RawFrontend.Bytes(new VringFd(0, true)), false, kick.Handle);
        FindingException.Require(frontend.CatchUp(5000), "an honest front-end is not served");

        GuestRange header = memory.Buffer(16, writable: false);
        GuestRange id = memory.Buffer(21, writable: true);
        memory.Span(header)[0] = 8;
        ring.Add(header, id);
        kick.Signal();
        UsedBuffer used;
        while (!ring.TryCollect(out used))
            RawRing.WaitFor(call, "used entry");

        FindingException.Require(used.Written == 21 && memory.Span(id)[..8].SequenceEqual("vhostxen"u8), "an honest request is not done");
    }
}
