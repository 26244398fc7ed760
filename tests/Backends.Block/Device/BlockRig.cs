using System.Buffers.Binary;
using Backends.Block.Device;
using Backends.Block.Stores;
using Microsoft.Extensions.Logging.Abstractions;
using TestKit;
using VhostUser.Devices;
using VhostUser.Memory;

namespace Backends.Block.Tests.Device;

/// <summary>A disk with a driver: requests in any shape, their status and what was written.</summary>
internal sealed class BlockRig : IDisposable
{
    public const byte Untouched = 0xaa;

    /// <summary>All that the device has, minus nothing.</summary>
    public const ulong AllFeatures = BlockFeatures.Flush | BlockFeatures.ConfigWce | BlockFeatures.Discard | BlockFeatures.WriteZeroes | BlockFeatures.Mq;

    public BlockRig(
        IBlockStore store, BlockDeviceOptions? options = null, ulong features = AllFeatures, bool ioUring = true, TestMemory? memory = null,
        IGuestMemoryProvider? provider = null)
    {
        Device = new BlockDevice(store, options ?? new BlockDeviceOptions { Queues = 1 }, NullLogger.Instance);
        Rig = new DeviceRig(
            Device, features, options: new WorkerOptions { UseIoUring = ioUring },
            memory: memory ?? new TestMemory((0UL, 16UL << 20), (0x1_0000_0000UL, 1UL << 20)), provider: provider);
    }

    public BlockDevice Device { get; }

    public DeviceRig Rig { get; }

    public TestMemory Memory => Rig.Memory;

    /// <summary>What is left of the status byte's buffer after the last request, and what its used entry said.</summary>
    public uint Written { get; private set; }

    public static byte[] Header(uint type, ulong sector)
    {
        byte[] header = new byte[16];
        BinaryPrimitives.WriteUInt32LittleEndian(header, type);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(8), sector);
        return header;
    }

    public static byte[] Range(ulong sector, uint sectors, uint flags = 0)
    {
        byte[] range = new byte[16];
        BinaryPrimitives.WriteUInt64LittleEndian(range, sector);
        BinaryPrimitives.WriteUInt32LittleEndian(range.AsSpan(8), sectors);
        BinaryPrimitives.WriteUInt32LittleEndian(range.AsSpan(12), flags);
        return range;
    }

    /// <summary>One buffer that the device reads.</summary>
    public GuestRange Readable(ReadOnlySpan<byte> bytes)
    {
        GuestRange range = new(Memory.Allocate(Math.Max(bytes.Length, 1)), (uint)bytes.Length, Writable: false);
        bytes.CopyTo(Memory.Span(range));
        return range;
    }

    /// <summary>One buffer that the device writes.</summary>
    public GuestRange Writable(int length, int alignment = 16)
    {
        GuestRange range = new(Memory.Allocate(Math.Max(length, 1), alignment), (uint)length, Writable: true);
        Memory.Span(range).Fill(Untouched);
        return range;
    }

    /// <summary>Sends a chain as it is and returns the last writable byte.</summary>
    public byte Run(params GuestRange[] chain)
    {
        ushort id = Rig.Driver.Add(chain, indirect: chain.Length > 4);
        UsedBuffer used = Rig.Next();
        Assert.Equal(id, used.Id);
        Written = used.Written;
        GuestRange status = chain.LastOrDefault(static range => range.Writable && range.Length > 0);
        return status.Length == 0 ? Untouched : Memory.Span(status)[^1];
    }

    /// <summary>The usual shape: header, data, status, each in a buffer of its own.</summary>
    public byte Out(BlockRequestType type, ulong sector, ReadOnlySpan<byte> data = default)
        => data.IsEmpty
            ? Run(Readable(Header((uint)type, sector)), Writable(1))
            : Run(Readable(Header((uint)type, sector)), Readable(data), Writable(1));

    public byte In(BlockRequestType type, ulong sector, int length, out byte[] data)
    {
        GuestRange buffer = Writable(length);
        byte status = Run(Readable(Header((uint)type, sector)), buffer, Writable(1));
        data = Memory.Span(buffer).ToArray();
        return status;
    }

    public void Dispose() => Rig.Dispose();
}
