using Fuzz.Engine;
using Fuzz.Oracles;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Guests.Pci;
using XenModel.Guests.Virtio;

namespace Fuzz.Targets.Registers;

/// <summary>
/// The register interface of xen-vhost-master: a hostile guest on the user-space Xen, through ioreqs, with real back-ends
/// behind the devices. Afterwards a reset makes everything usable, and a guest beside, in the middle of verified I/O, has not
/// noticed. Now and then the guest dies in the middle, and another one gets its devices.
/// </summary>
internal sealed class RegisterTarget : FuzzTarget
{
    private const int WarmUpRuns = 64;

    // Who dies, or gives the page of a running ring away, has no memory there to map.
    private const string NoMemory = "the back-end refused SET_MEM_TABLE";
    private const ulong ProofMemory = 0x30_0000;

    private readonly AttackedHost _host = new();
    private ProcessCount? _before;
    private long _actsOfTheDead;
    private int _runs;

    public override int MaxLength => 1024;

    public override long Acts => _actsOfTheDead + Answered(_host.Guest);

    public override string Account => $"{_host.Lives} lives, the guest beside verified {_host.Victim.Counters.BytesVerified >> 20} MiB in {_host.Victim.Counters.Requests} requests";

    public override void Run(FuzzInput input, Behaviour seen)
    {
        _host.Complaints.Listen(seen);

        // By all of the bytes: what is bred from an input dies as seldom as a new one.
        bool dies = Crc32(input.Bytes) % 128 == 0;

        _host.Complaints.Forgiven = dies ? NoMemory : null;
        Task noise = Task.CompletedTask;
        try
        {
            var cpu = new HostileCpu(_host.Guest, 0);
            cpu.Settle();
            _host.Guest.Memory.TryWrite(HostileCpu.Ring(0, 0), new byte[0x10_0000]);
            if (input.OneIn(8))
                noise = Task.Run(() => Flood(_host.Guest, input.Bytes.Length));

            var story = new RegisterStory(input, _host.Guest, seen);
            for (int step = 0; !input.IsAtEnd; step++)
            {
                if (dies && step == 8)
                    noise = Task.WhenAll(noise, Task.Run(_host.Kill));
                else if (step == 16 && input.OneIn(16))
                    GiveBack(HostileCpu.Ring(AttackedHost.DiskSlot, 0) >> 12);

                story.Step();
            }

            Rig.Wait(noise);
            if (dies)
                _host.Kill();

            cpu.Settle();
            story.Look();
        }
        catch (Exception e) when (dies && (IsEnd(e) || (e.InnerException is { } inner && IsEnd(inner))))
        {
            seen.Saw("died");
        }

        Rig.Wait(noise.ContinueWith(static _ => { }, TaskScheduler.Default));
        if (dies)
        {
            FindingException.Require(_host.Guest.CrashReason is null, $"Xen crashed the guest: {_host.Guest.CrashReason}");
            Renew();
        }

        _host.Complaints.ThrowIfAny();
        FindingException.Require(_host.Guest.CrashReason is null, $"Xen crashed the guest: {_host.Guest.CrashReason}");
        seen.Count("interrupts", _host.Counters.Interrupts == 0 ? 0 : 1);
        seen.Count("refused interrupts", _host.Counters.FailedInterrupts == 0 ? 0 : 1);
        if (++_runs % 32 == 0)
        {
            Prove(_host.Guest);
            _host.CheckVictim();
        }

        if (_runs == WarmUpRuns)
        {
            Renew();
            _before = Enumerable.Range(0, 50).Select(static _ => ProcessCount.Now(ProcessCount.XenMemory)).Aggregate(ProcessCount.Least);
        }
    }

    /// <summary>The guest dies and another one has its devices, and has touched none: what is more than that was left behind.</summary>
    private void Renew()
    {
        _host.Kill();
        _actsOfTheDead += Answered(_host.Guest);
        _host.BeReborn();
    }

    /// <summary>When all is over: nothing was left by any life.</summary>
    public override void Finish()
    {
        Prove(_host.Guest);
        _host.CheckVictim();
        if (_before is not { } before)
            return;

        Renew();
        ProcessCount after = default;
        bool settled = SpinWait.SpinUntil(() => (after = ProcessCount.Now(ProcessCount.XenMemory)).IsWithin(before), Rig.Deadline);
        Console.WriteLine($"registers: before {before}, after {after}");
        FindingException.Require(settled, $"before {before}, after {after}");
    }

    public override void Dispose() => _host.Dispose();

    // A dead guest's CPU stops, and its own stores find no RAM.
    private static bool IsEnd(Exception e) => e is DomainStoppedException || (e is ArgumentOutOfRangeException && e.Message.Contains("is not RAM"));

    private static uint Crc32(byte[] bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
            crc = System.Numerics.BitOperations.Crc32C(crc, value);

        return crc;
    }

    private static long Answered(Domain guest) => guest.Vcpus.Sum(static cpu => cpu.Io.Answered);

    /// <summary>The other virtual CPU rings every bell without end, and resets what it finds.</summary>
    private static void Flood(Domain guest, int times)
    {
        var cpu = new HostileCpu(guest, 1);
        for (int i = 0; i < times; i++)
        {
            (int slot, int queues) = HostileCpu.Functions[i % 3];
            cpu.Io.MmioWrite(HostileCpu.Home(slot) + XenVhostMaster.Transports.Pci.VirtioPciLayout.Notify + 4 * (uint)(i % queues), 2, (uint)(i % queues));
            if (i % 64 == 63)
                cpu.Common(slot, XenVhostMaster.Transports.Pci.VirtioPciLayout.DeviceStatus, 1, 0);
        }
    }

    /// <summary>A page of a ring goes back to Xen, and another one comes in its place.</summary>
    private unsafe void GiveBack(ulong gfn)
    {
        Domain guest = _host.Guest;
        _host.Complaints.Forgiven = NoMemory;
        foreach (MemoryOp.Command command in (ReadOnlySpan<MemoryOp.Command>)[MemoryOp.Command.DecreaseReservation, MemoryOp.Command.PopulatePhysmap])
        {
            const ulong address = 0x1000;
            byte[] bytes = new byte[sizeof(MemoryOp.Reservation) + sizeof(ulong)];
            var reservation = new MemoryOp.Reservation { ExtentStart = address + (ulong)sizeof(MemoryOp.Reservation), NrExtents = 1, Domid = Domid.Self };
            System.Runtime.InteropServices.MemoryMarshal.Write(bytes, reservation);
            BitConverter.TryWriteBytes(bytes.AsSpan(sizeof(MemoryOp.Reservation)), gfn);
            guest.Vcpus[0].Hypercall(Hypercall.MemoryOp, (ulong)command, address, 0, new CallerMemory(bytes, address));
        }
    }

    /// <summary>A good driver takes over: finds the bus, brings the echo device up, and gets back what it sends.</summary>
    private static void Prove(Domain guest)
    {
        new HostileCpu(guest, 0).Settle();
        PciFunction function = PciScan.Run(guest.Vcpus[0]).Single(static function => function.Device == AttackedHost.EchoSlot);
        var transport = new PciTransport(guest, function);
        using DmaMemory memory = DmaMemory.OfRam(guest, ProofMemory, 8);
        transport.Reset(Rig.Deadline);
        transport.Status = 3;
        transport.WriteFeatures(VirtioFeature.Version1);
        transport.Status = 0xb;
        FindingException.Require(transport.Status == 0xb, "an honest driver's features are refused");
        transport.SetUpInterrupts(1);
        var ring = new SplitRing(memory, 16, eventIndex: false);
        transport.SetUpQueue(0, 0, 16, ring.Descriptors, ring.Driver, ring.Device);
        transport.Status = 0xf;
        DmaBuffer sent = memory.Allocate(100), received = memory.Allocate(100);
        Random.Shared.NextBytes(sent.Bytes);
        ring.TryAdd([sent], [received], null, out _);
        transport.Notify(guest.Vcpus[0], 0);
        long end = Environment.TickCount64 + (long)Rig.Deadline.TotalMilliseconds;
        while (!ring.TryTake(out _, out _))
            FindingException.Require(transport.WaitForInterrupt(guest.Vcpus[0], Rig.Deadline) || Environment.TickCount64 < end, "an honest driver's request is not answered");

        FindingException.Require(sent.Bytes.SequenceEqual(received.Bytes), "an honest driver gets other bytes back");
        transport.Reset(Rig.Deadline);
    }
}
