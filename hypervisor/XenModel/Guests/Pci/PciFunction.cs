using XenModel.Domains;

namespace XenModel.Guests.Pci;

/// <summary>A function that a guest found on bus 0, with its BARs in place: its configuration space.</summary>
internal sealed class PciFunction(Vcpu cpu, int device, int function)
{
    public const int VendorId = 0, DeviceId = 2, Command = 4, Status = 6, ClassCode = 0xb, Subclass = 0xa, HeaderType = 0xe, Bar0 = 0x10, CapabilityPointer = 0x34;
    public const ushort CommandMemory = 2, CommandMaster = 4, StatusCapabilities = 0x10;

    private readonly ulong[] _bars = new ulong[6];

    public int Device => device;

    public int Function => function;

    public ushort Vendor { get; } = (ushort)cpu.Io.ConfigRead(0, device, function, VendorId, 2);

    public ushort Id { get; } = (ushort)cpu.Io.ConfigRead(0, device, function, DeviceId, 2);

    public bool IsPresent => Vendor != 0xffff;

    public bool IsHostBridge => Read(ClassCode, 1) == 6 && Read(Subclass, 1) == 0;

    public bool HasMoreFunctions => (Read(HeaderType, 1) & 0x80) != 0;

    /// <summary>Where a BAR is; 0 for none.</summary>
    public ulong Bar(int bar) => bar < _bars.Length ? _bars[bar] : 0;

    public uint Read(int register, int size) => cpu.Io.ConfigRead(0, device, function, register, size);

    public void Write(int register, int size, uint value) => cpu.Io.ConfigWrite(0, device, function, register, size, value);

    /// <summary>The capabilities in their order: where each is, and what.</summary>
    /// <exception cref="GuestCheckException">The list goes in circles.</exception>
    public IEnumerable<(int At, byte Id)> Capabilities()
    {
        if ((Read(Status, 2) & StatusCapabilities) == 0) yield break;
        int left = 48;
        for (int at = (int)Read(CapabilityPointer, 1) & ~3; at != 0; at = (int)Read(at + 1, 1) & ~3)
        {
            if (at < 0x40 || left-- == 0) throw new GuestCheckException($"{this}: the list of capabilities leads to 0x{at:x}");
            yield return (at, (byte)Read(at, 1));
        }
    }

    /// <summary>Finds the sizes of the memory BARs and gives them places from an address on, as firmware or a kernel does.</summary>
    /// <returns>The first address behind them.</returns>
    /// <exception cref="GuestCheckException">A BAR does not take its address.</exception>
    public ulong Assign(ulong from)
    {
        Write(Command, 2, Read(Command, 2) & ~(uint)CommandMemory);
        for (int bar = 0; bar < _bars.Length; bar++)
        {
            int register = Bar0 + 4 * bar;
            Write(register, 4, uint.MaxValue);
            uint mask = Read(register, 4);
            if (mask is 0 or uint.MaxValue || (mask & 1) != 0) continue;
            bool wide = (mask & 6) == 4;
            uint size = ~(mask & ~0xfu) + 1;
            from = (from + size - 1) & ~((ulong)size - 1);
            Write(register, 4, (uint)from);
            if (wide) Write(register + 4, 4, (uint)(from >> 32));
            if ((Read(register, 4) & ~0xfu) != (uint)from) throw new GuestCheckException($"{this}: BAR {bar} does not take 0x{from:x}");
            _bars[bar] = from;
            from += size;
            if (wide) bar++;
        }

        Write(Command, 2, Read(Command, 2) | CommandMemory | CommandMaster);
        return from;
    }

    public override string ToString() => $"0000:00:{device:x2}.{function}";
}
