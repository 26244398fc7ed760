using Fuzz.Engine;
using XenModel.Domains;
using XenModel.Ioreq;
using XenVhostMaster.Domains;
using XenVhostMaster.Transports.Pci;
using static Fuzz.Targets.Registers.AttackedHost;

namespace Fuzz.Targets.Registers;

/// <summary>
/// What a hostile guest does to its device model, as the input says: every register, every width, unaligned, garbage, BARs on
/// top of anything, queues where there is no memory, bells without end, and a good driver's steps in between, or nothing
/// behind DRIVER_OK would ever run.
/// </summary>
internal sealed class RegisterStory(FuzzInput input, Domain guest, Behaviour seen)
{
    private readonly HostileCpu _cpu = new(guest, 0);

    private VcpuIo Io => _cpu.Io;

    /// <summary>One step: mostly one access.</summary>
    public void Step()
    {
        switch (input.Below(20))
        {
            case 0:
                (int slot, int queues) = input.Pick<(int, int)>(HostileCpu.Functions);
                _cpu.BringUp(slot, queues);
                break;
            case 1:
                Io.ConfigWrite(input.OneIn(8) ? input.Byte() : 0, Slot(), input.OneIn(8) ? input.Below(8) : 0, input.Byte(), ConfigSize(), Value32());
                break;
            case 2:
                Io.ConfigRead(input.OneIn(8) ? input.Byte() : 0, Slot(), input.OneIn(8) ? input.Below(8) : 0, input.Byte(), ConfigSize());
                break;
            case 3:
                MoveBar();
                break;
            case 4 or 5:
                Io.MmioWrite(Bar() + (uint)input.Below(0x40), Size(), Value());
                break;
            case 6:
                Io.MmioRead(Bar() + (uint)input.Below(0x40), Size());
                break;
            case 7:
                Ring();
                break;
            case 8:
                Table();
                break;
            case 9:
                Io.MmioWrite(Bar() + VirtioPciLayout.DeviceConfig + (uint)input.Below(0x200), Size(), Value());
                break;
            case 10:
                Io.MmioRead(Bar() + input.UInt16(), Size());
                break;
            case 11:
                Io.MmioWrite(Bar() + input.UInt16(), Size(), Value());
                break;
            case 12:
                Mmio();
                break;
            case 13:
                Repeat();
                break;
            case 14:
                BadQueue();
                break;
            case 15:
                _cpu.Common(Slot3(), VirtioPciLayout.DeviceStatus, 1, input.Pick(0u, 3u, 0xbu, 0xfu, 0x80u, 0x8fu, 0x4fu));
                break;
            case 16:
                Request();
                break;
            case 17:
                Port();
                break;
            case 18:
                Io.MmioRead(Anywhere(), Size());
                break;
            default:
                Io.MmioWrite(Anywhere(), Size(), Value());
                break;
        }
    }

    /// <summary>What it looks like in the end: the same few states again are nothing new.</summary>
    public void Look()
    {
        foreach ((int slot, int _) in HostileCpu.Functions)
            seen.Saw($"slot {(char)('a' + slot)}: status {Bits(_cpu.Common(slot, VirtioPciLayout.DeviceStatus, 1))}");

        static string Bits(ulong value) => string.Join('-', Enumerable.Range(0, 8).Where(bit => (value >> bit & 1) != 0).Select(static bit => (char)('a' + bit)));
    }

    private int Slot() => input.Below(5);

    private static int SlotOf(int choice) => HostileCpu.Functions[choice].Slot;

    private int Slot3() => SlotOf(input.Below(3));

    private ulong Bar() => HostileCpu.Home(Slot3());

    private int Size() => 1 << input.Below(4);

    private int ConfigSize() => 1 << input.Below(3);

    private uint Value32() => (uint)Value();

    private ulong Value() => input.Below(6) switch
    {
        0 => 0,
        1 => 1,
        2 => input.Byte(),
        3 => input.UInt16(),
        4 => input.Number(0xffff_ffff, 32),
        _ => input.UInt64(),
    };

    private ulong Anywhere() => input.Below(6) switch
    {
        0 => MmioBase + input.UInt16(),
        1 => 0xfc00_0000 + input.UInt32() % 0x0300_0000,
        2 => 0xfee0_0000 + (ulong)input.UInt16(),
        3 => 0xfeff_8000 + (ulong)input.UInt16(),
        4 => input.UInt32(),
        _ => input.UInt64(),
    };

    /// <summary>Over another function, RAM, the MMIO device, the interrupt controllers, Xen's pages, out of the world.</summary>
    private void MoveBar()
    {
        int slot = Slot3();
        uint low = input.Below(9) switch
        {
            0 => HostileCpu.Home(slot),
            1 => HostileCpu.Home(Slot3()),
            2 => 0x10_0000,
            3 => (uint)MmioBase,
            4 => 0xfec0_0000,
            5 => 0xfeff_0000,
            6 => 0xfebf_0000,
            7 => 0xffff_ffff,
            _ => input.UInt32(),
        };
        Io.ConfigWrite(0, slot, 0, PciConfig.Bar0, 4, low);
        if (input.OneIn(4)) Io.ConfigWrite(0, slot, 0, PciConfig.Bar0 + 4, 4, input.UInt32());
        if (input.Flip()) Io.ConfigWrite(0, slot, 0, PciConfig.Command, 2, input.Pick(6u, 2u, 0u, 0xffffu));
    }

    /// <summary>Bells: of queues that are there and of others, many at a time.</summary>
    private void Ring()
    {
        ulong bell = Bar() + VirtioPciLayout.Notify + (uint)input.Below(16);
        int size = Size();
        ulong value = input.OneIn(4) ? Value() : (ulong)input.Below(3);
        int times = input.OneIn(4) ? 1 + input.Byte() : 1;
        for (int i = 0; i < times; i++)
            Io.MmioWrite(bell, size, value);
    }

    private void Table()
    {
        ulong at = Bar() + VirtioPciLayout.Table + (input.OneIn(8) ? input.UInt16() : (uint)input.Below(0x60));
        if (input.OneIn(4))
            Io.MmioRead(at, Size());
        else
            Io.MmioWrite(at, input.OneIn(4) ? Size() : 4, input.Pick<ulong>(Value(), 0xfee0_0000, 0, 1, 0x61, 0xfee0_100c));
    }

    private void Mmio()
    {
        ulong register = MmioBase + (input.OneIn(8) ? input.UInt16() : (uint)(input.Below(0x50) * 4));
        int size = input.OneIn(8) ? Size() : 4;
        switch (input.Below(4))
        {
            case 0:
                Io.MmioRead(register, size);
                break;
            case 1:
                _cpu.BringUpMmio();
                break;
            default:
                Io.MmioWrite(register, size, Value());
                break;
        }
    }

    /// <summary>String instructions: registers in a row, values in guest memory or where there is none, backwards too.</summary>
    private void Repeat()
    {
        ulong address = input.OneIn(4) ? Anywhere() : Bar() + input.UInt16();
        ulong memory = input.OneIn(4) ? Anywhere() : HostileCpu.Ring(Slot3(), 0) + input.UInt16();
        uint count = 1u + (uint)input.Below(64);
        bool down = input.OneIn(4);
        switch (input.Below(4))
        {
            case 0:
                Io.MmioFill(address, Size(), count, Value(), down);
                break;
            case 1:
                Io.PortCopy((ushort)(0xcf8 + input.Below(8)), memory, ConfigSize(), count, input.Flip(), down);
                break;
            default:
                Io.MmioCopy(address, memory, Size(), count, input.Flip(), down);
                break;
        }
    }

    /// <summary>Rings where there is no memory, where there is somebody else's, over each other, at the end of the world.</summary>
    private void BadQueue()
    {
        int slot = Slot3();
        _cpu.Queue(slot, input.Below(3), input.Number16(16), Address(), Address(), Address());
        if (input.Flip())
            _cpu.Common(slot, VirtioPciLayout.DeviceStatus, 1, 0xf);

        ulong Address() => input.Below(8) switch
        {
            0 => HostileCpu.Ring(slot, 0) + (uint)(input.Below(4) << 12),
            1 => HostileCpu.Ring(slot, 0) + input.UInt16(),
            2 => 0x3f_fff0,
            3 => 0xfeff_8000,
            4 => GuestRegions.GrantBit | (ulong)input.UInt32() << 12,
            5 => ulong.MaxValue - input.Byte(),
            6 => 0,
            _ => input.UInt64(),
        };
    }

    /// <summary>A descriptor or two, right or not, made available in a ring where a good driver has it, and the bell.</summary>
    private void Request()
    {
        (int slot, int queues) = input.Pick<(int, int)>(HostileCpu.Functions);
        int queue = input.Below(queues);
        ulong ring = HostileCpu.Ring(slot, queue);
        for (int i = 0; i < 2; i++)
        {
            guest.Memory.Write(ring + 16 * (uint)i, input.Number(ring + 0x3000 + (uint)i * 0x200));
            guest.Memory.Write(ring + 16 * (uint)i + 8, input.Number32(i == 0 ? 16u : 0x100u));
            guest.Memory.Write(ring + 16 * (uint)i + 12, input.Number16((ushort)(i == 0 ? 1 : 2)));
            guest.Memory.Write(ring + 16 * (uint)i + 14, input.Number16(1));
        }

        guest.Memory.Write(ring + 0x3000, input.Number(8, 32));
        ushort index = guest.Memory.Read<ushort>(ring + 0x1002);
        guest.Memory.Write(ring + 0x1004 + 2 * (index % 16u), input.Number16(0));
        guest.Memory.Write(ring + 0x1002, input.Number16((ushort)(index + 1)));
        Io.MmioWrite(HostileCpu.Home(slot) + VirtioPciLayout.Notify + 4 * (uint)queue, 2, (uint)queue);
    }

    private void Port()
    {
        ushort port = (ushort)(input.OneIn(4) ? input.UInt16() : 0xcf8 + input.Below(8));
        int size = ConfigSize();
        if (input.Flip())
            Io.PortWrite(port, size, input.OneIn(2) ? 0x8000_0000 | input.UInt32() & 0xffff : Value32());
        else
            Io.PortRead(port, size);
    }
}
