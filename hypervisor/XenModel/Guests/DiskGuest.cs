using System.Diagnostics;
using System.Globalization;
using XenMemoryProvider.Abi;
using XenModel.Domains;
using XenModel.Guests.Disks;
using XenModel.Guests.Pci;
using XenModel.Guests.Virtio;

namespace XenModel.Guests;

/// <summary>
/// A guest with one program: finds its disk, as a kernel does, and reads, writes, clears and flushes it from all its virtual
/// CPUs, comparing every byte. The thread that is started is the boot CPU; it is paused while the domain is.
/// </summary>
public sealed class DiskGuest
{
    private const ulong FirstDmaAddress = 1 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(1);

    private readonly Domain _domain;
    private readonly DiskGuestOptions _options;
    private readonly ManualResetEventSlim _ended = new(false);
    private readonly Stopwatch _clock = new();
    private VirtioTransport? _transport;
    private BlockDriver? _driver;
    private BlockLane[] _lanes = [];
    private volatile Exception? _failure;

    private DiskGuest(Domain domain, DiskGuestOptions options)
    {
        _domain = domain;
        _options = options;
    }

    /// <summary>What went wrong; null while nothing has.</summary>
    public Exception? Failure => _failure;

    public bool HasEnded => _ended.IsSet;

    /// <summary>Times the device was reset with requests in flight.</summary>
    public int Resets { get; private set; }

    /// <summary>Since the device was found.</summary>
    public TimeSpan Elapsed => _clock.Elapsed;

    /// <summary>Exits that device models answered, of all CPUs.</summary>
    public long Ioreqs => _domain.Vcpus.Sum(static cpu => cpu.Io.Answered);

    public long Kicks => _transport?.Kicks ?? 0;

    public long Interrupts => _transport?.Interrupts ?? 0;

    /// <summary>Of all queues.</summary>
    public DiskCounters Counters
    {
        get
        {
            var sum = new DiskCounters();
            foreach (BlockLane lane in _lanes) sum.Add(lane.Counters);
            return sum;
        }
    }

    /// <summary>Starts the guest's program; the domain may still be paused.</summary>
    public static DiskGuest Start(Domain domain, DiskGuestOptions options)
    {
        var guest = new DiskGuest(domain, options);
        new Thread(guest.Main) { IsBackground = true, Name = $"{domain.Name}: cpu 0" }.Start();
        return guest;
    }

    /// <summary>Waits for the end of the program.</summary>
    /// <returns>False: it goes on.</returns>
    public bool Wait(TimeSpan timeout) => _ended.Wait(timeout);

    /// <summary>One line of key=value, for a toolstack.</summary>
    public string Describe()
    {
        DiskCounters counters = Counters;
        string state = !HasEnded ? "running" : Failure is null ? "passed" : "failed";
        ulong features = _driver?.Features ?? 0;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"state={state} device={_transport?.Name ?? "none"} indirect={Flag(features, VirtioFeature.IndirectDesc)} event-idx={Flag(features, VirtioFeature.EventIdx)} granted={Flag(features, VirtioFeature.AccessPlatform)} requests={counters.Requests} indirect-requests={counters.IndirectRequests} most-in-flight={counters.MostInFlight} flushes={counters.Flushes} clearings={counters.Clearings} bytes-written={counters.BytesWritten} bytes-verified={counters.BytesVerified} ioreqs={Ioreqs} kicks={Kicks} interrupts={Interrupts} resets={Resets} milliseconds={_clock.ElapsedMilliseconds}{(Failure is { } why ? $" failure={why.Message.ReplaceLineEndings(" ")}" : "")}");

        static string Flag(ulong features, ulong bit) => (features & bit) != 0 ? "yes" : "no";
    }

    private void Main()
    {
        try
        {
            using DmaMemory memory = TakeMemory();
            Run(memory);
        }
        catch (Exception e)
        {
            // Whatever it is, it is the guest's end and not the hypervisor's.
            _failure ??= e;
        }
        finally
        {
            _clock.Stop();
            _ended.Set();
        }
    }

    private void Run(DmaMemory memory)
    {
        _transport = Find();
        _clock.Start();
        _driver = new BlockDriver(_transport, memory, _options);
        _driver.Negotiate();
        var disk = new DiskLanes(_options.Seed, _options.Queues, _driver.Blocks);
        disk.Skip(_options.Skip);
        BlockLane[] lanes = [.. Enumerable.Range(0, _options.Queues).Select(lane => new BlockLane(lane, disk.Ledger))];
        _driver.Start(lanes);
        _lanes = lanes;
        if (_options.Skip > 0) Phase(disk.Sweep, drain: true);
        for (int part = 0; part <= _options.Resets; part++)
        {
            int count = _options.Requests / (_options.Resets + 1) + (part < _options.Requests % (_options.Resets + 1) ? 1 : 0);
            bool last = part == _options.Resets;
            Phase(lane => disk.Requests(lane, count), drain: last);
            if (!last) Reset();
        }

        Phase(disk.Sweep, drain: true);
        _driver.Stop();
    }

    private DmaMemory TakeMemory()
    {
        const int page = 4096, rings = 4;
        int pages = _options.Queues * (rings + (_options.Depth * BlockSlot.Footprint + page - 1) / page);
        return _options.Grants ? DmaMemory.OfGrants(_domain, backend: 0, FirstDmaAddress, pages) : DmaMemory.OfRam(_domain, FirstDmaAddress, pages);
    }

    private VirtioTransport Find()
    {
        if (_options.MmioBase is { } start) return new MmioTransport(_domain, start, _options.Irq);
        foreach (PciFunction function in PciScan.Run(_domain.Vcpus[0]))
        {
            if (!PciTransport.IsVirtio(function) || (_options.Slot is { } slot && slot != function.Device)) continue;
            var transport = new PciTransport(_domain, function);
            if (transport.DeviceId == BlockDriver.BlockDeviceId) return transport;
        }

        throw new GuestCheckException("there is no disk on the PCI bus");
    }

    /// <summary>With requests in flight: they have happened or they have not, so they are all asked for again.</summary>
    private void Reset()
    {
        _driver!.Negotiate();
        _driver.Start(_lanes);
        Resets++;
    }

    /// <summary>Every CPU drives its lanes through their requests.</summary>
    private void Phase(Func<int, IEnumerable<DiskOperation>> operations, bool drain)
    {
        foreach (BlockLane lane in _lanes) lane.Begin(operations(lane.Index));
        int cpus = Math.Min(_transport!.InterruptTargets, _lanes.Length);
        Thread[] others = [.. Enumerable.Range(1, cpus - 1).Select(cpu => new Thread(() => Guarded(cpu, cpus, drain)) { IsBackground = true, Name = $"{_domain.Name}: cpu {cpu}" })];
        foreach (Thread other in others) other.Start();
        Guarded(0, cpus, drain);
        foreach (Thread other in others) other.Join();
        if (_failure is { } failure) throw failure;
    }

    private void Guarded(int cpu, int cpus, bool drain)
    {
        try
        {
            Drive(_domain.Vcpus[cpu], [.. _lanes.Where(lane => lane.Index % cpus == cpu)], drain);
        }
        catch (Exception e)
        {
            _failure ??= e;
        }
    }

    /// <summary>The interrupt-driven loop of one CPU.</summary>
    private void Drive(Vcpu cpu, BlockLane[] lanes, bool drain)
    {
        long lastProgress = Environment.TickCount64;
        while (_failure is null)
        {
            bool done = true;
            foreach (BlockLane lane in lanes)
            {
                lane.Queue.SuppressInterrupts();
                lane.Reap();
                lane.Fill();
                if (lane.Queue.ShouldKick()) _transport!.Notify(cpu, lane.Index);
                done &= drain ? lane.IsDone : lane.IsAllSubmitted;
            }

            if (done) return;
            bool idle = true;
            foreach (BlockLane lane in lanes) idle &= lane.Queue.WantInterrupt();
            if (!idle || _transport!.WaitForInterrupt(cpu, Look)) lastProgress = Environment.TickCount64;
            else if (Environment.TickCount64 - lastProgress > (long)Patience.TotalMilliseconds) throw new GuestCheckException($"cpu {cpu.Id}: requests are in flight and no interrupt comes");
        }
    }

    /// <summary>Takes the domain down, as a guest that is done does.</summary>
    public void PowerOff() => _domain.ShutDown(ShutdownReason.Poweroff);
}
