using Fuzz.Engine;
using XenMemoryProvider.Kernel;
using XenVhostMaster.Domains;
using XenVhostMaster.Transports;
using XenVhostMaster.Transports.Mmio;
using XenVhostMaster.Transports.Pci;

namespace Fuzz.Targets;

/// <summary>A small guest's devices behind the master's dispatcher: host bridge, two functions on the bus, one device in memory; nothing behind them.</summary>
internal sealed class IoreqDevices : IPciSink, IInterruptLine
{
    public const ulong WindowStart = 0xf000_0000;
    public const ulong BarStart = 0xfc00_0000;
    public const ulong MmioStart = 0xfeb0_0000;
    private readonly List<Control> _controls = [];
    private readonly List<(ulong Start, ulong End)> _claims = [];

    public IoreqDevices(IPrivcmd privcmd)
    {
        var bus = new PciBus(this, WindowStart, 0xfebf_ffff);
        bus.Add(0, new HostBridge());
        for (int i = 0; i < 2; i++)
            bus.Add(1 + i, new VirtioPciFunction(Device(1 + (8 * i)), new VirtioPciOptions(0x018000, (uint)BarStart + ((uint)i * VirtioPciLayout.BarSize), i == 1), this));

        Dispatcher = new IoreqDispatcher(bus, new GuestMemory(null!, privcmd, Oracles.FuzzPrivcmd.Domid), new IoreqCounters());
        Dispatcher.Add(MmioStart, new VirtioMmioDevice(Device(1), this));
    }

    public IoreqDispatcher Dispatcher { get; }

    /// <summary>Back-ends have stopped.</summary>
    public void FinishResets() => _controls.ForEach(static control => control.Finish());

    public void InjectMsi(ulong address, uint data)
    {
    }

    public void SetInterruptPin(int device, int pin, bool asserted) => FindingException.Require(pin == 0 && device == 2, "a pin that is not there");

    public bool ClaimMemory(ulong start, ulong end)
    {
        FindingException.Require(start >= WindowStart && end <= 0xfebf_ffff && start <= end, "memory outside the window is claimed");
        FindingException.Require(!_claims.Exists(claim => start <= claim.End && claim.Start <= end), "memory is claimed twice");
        _claims.Add((start, end));
        return true;
    }

    public void ReleaseMemory(ulong start, ulong end) => FindingException.Require(_claims.Remove((start, end)), "memory is released that was not claimed");

    public void Set(bool asserted)
    {
    }

    private VirtioDeviceModel Device(int queues)
    {
        var control = new Control();
        var model = new VirtioDeviceModel(2, queues, 256, 1UL << 28 | 1UL << 29 | 1UL << 32 | 1UL << 34, accessPlatform: false, control);
        control.Model = model;
        model.SetConfig(new byte[60]);
        _controls.Add(control);
        return model;
    }

    private sealed class Control : IDeviceControl
    {
        private readonly List<int> _queues = [];
        private bool _reset;

        public VirtioDeviceModel? Model { get; set; }

        public void Kick(int queue) => FindingException.Require(queue >= 0 && queue < 9, "a queue is kicked that is not there");

        public void Start()
        {
        }

        public void Reset()
        {
            _reset = true;
            _queues.Clear();
        }

        public void StartQueue(int queue)
        {
        }

        public void ResetQueue(int queue) => _queues.Add(queue);

        public void ConfigWritten()
        {
        }

        public void Finish()
        {
            int[] queues = [.. _queues];
            _queues.Clear();
            foreach (int queue in queues)
                Model!.QueueResetDone(queue);

            if (_reset)
                Model!.ResetDone();

            _reset = false;
        }
    }
}
