using XenModel.Domains;

namespace XenModel.Ioreq;

/// <summary>
/// The interrupt lines of an HVM guest: ISA and PCI lines, the global interrupts they drive, and an IOAPIC that sends those to
/// virtual CPUs. A PVH guest has the lines and no IOAPIC. Arm: its shared peripheral interrupts.
/// </summary>
public sealed class InterruptLines
{
    /// <summary>Pins of the IOAPIC.</summary>
    public const int PinCount = 48;

    private const int FirstPciGsi = 16;

    private readonly Domain _domain;
    private readonly bool[] _isa = new bool[16];
    private readonly bool[] _pci = new bool[32 * 4];
    private readonly byte[] _linkRoutes = new byte[4];
    private readonly int[] _asserted = new int[PinCount];
    private readonly bool[] _waitingForEoi = new bool[PinCount];
    private readonly Redirection[] _redirections = new Redirection[PinCount];
    private readonly Dictionary<uint, bool> _spis = [];
    private readonly ManualResetEventSlim _spiRose = new(false);

    internal InterruptLines(Domain domain)
    {
        _domain = domain;
        Array.Fill(_redirections, new Redirection { Masked = true });
    }

    /// <summary>Who drives the pin of a global interrupt, by count; 0 is low.</summary>
    public int Asserted(int gsi)
    {
        lock (_domain.Hypervisor.Gate) return _asserted[gsi];
    }

    /// <summary>The ISA interrupt that a PCI link goes to in PIC mode; 0 for none.</summary>
    public int LinkRoute(int link)
    {
        lock (_domain.Hypervisor.Gate) return _linkRoutes[link];
    }

    /// <summary>The level of an Arm shared peripheral interrupt.</summary>
    public bool SpiLevel(uint irq)
    {
        lock (_domain.Hypervisor.Gate) return _spis.GetValueOrDefault(irq);
    }

    /// <summary>The guest programs a pin of its IOAPIC.</summary>
    public void Redirect(int pin, Redirection redirection)
    {
        lock (_domain.Hypervisor.Gate)
        {
            _redirections[pin] = redirection;
            _waitingForEoi[pin] = false;
            if (redirection.Level) Deliver(pin);
        }
    }

    /// <summary>The guest is done with a vector: level pins that are still asserted with it are sent again.</summary>
    public void EndOfInterrupt(byte vector)
    {
        lock (_domain.Hypervisor.Gate)
        {
            for (int pin = 0; pin < PinCount; pin++)
            {
                if (!_waitingForEoi[pin] || _redirections[pin].Vector != vector) continue;
                _waitingForEoi[pin] = false;
                Deliver(pin);
            }
        }
    }

    /// <summary>The global interrupt of a PCI function's pin.</summary>
    public static int GsiOf(int device, int intx) => ((device * 4 + device / 8 + intx) & 31) + FirstPciGsi;

    internal void SetPci(int device, int intx, bool level)
    {
        if (_pci[device * 4 + intx] == level) return;
        _pci[device * 4 + intx] = level;
        Drive(GsiOf(device, intx), level);
    }

    internal void SetIsa(int irq, bool level)
    {
        if (_isa[irq] == level) return;
        _isa[irq] = level;
        Drive(irq == 0 ? 2 : irq, level);
    }

    internal void SetLinkRoute(int link, byte irq) => _linkRoutes[link] = irq;

    /// <summary>A virtual CPU of Arm idles until a shared peripheral interrupt is pending.</summary>
    /// <returns>False: not in time.</returns>
    public bool WaitForSpi(uint irq, TimeSpan timeout)
    {
        long deadline = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        while (true)
        {
            lock (_domain.Hypervisor.Gate)
            {
                _domain.ThrowIfStopped();
                if (_spis.GetValueOrDefault(irq)) return true;
                _spiRose.Reset();
            }

            long left = deadline - Environment.TickCount64;
            if (left <= 0 || !_spiRose.Wait((int)Math.Min(left, int.MaxValue))) return SpiLevel(irq);
        }
    }

    internal void SetSpi(uint irq, bool level)
    {
        _spis[irq] = level;
        if (level) _spiRose.Set();
    }

    internal void WakeAll() => _spiRose.Set();

    private void Drive(int gsi, bool level)
    {
        bool was = _asserted[gsi] > 0;
        _asserted[gsi] += level ? 1 : -1;
        if (level && (!was || _redirections[gsi].Level)) Deliver(gsi);
    }

    private void Deliver(int pin)
    {
        Redirection redirection = _redirections[pin];
        if (redirection.Masked || _asserted[pin] == 0 || _waitingForEoi[pin] || _domain.Type != DomainType.HVM) return;
        if (_domain.FindVcpu(redirection.Vcpu) is not { } vcpu) return;
        _waitingForEoi[pin] = redirection.Level;
        vcpu.Apic.Accept(redirection.Vector);
    }

    /// <summary>An entry of the IOAPIC's redirection table.</summary>
    public readonly record struct Redirection(byte Vector, uint Vcpu, bool Level, bool Masked);
}
