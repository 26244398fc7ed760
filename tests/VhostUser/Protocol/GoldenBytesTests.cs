using System.Globalization;
using VhostUser.Protocol;
using Xunit;

namespace VhostUser.Tests.Protocol;

/// <summary>Every payload as the bytes that C peers put on the wire, written by hand from the specification.</summary>
public sealed class GoldenBytesTests
{
    [Fact]
    public void Header_NeedReply_IsTwelveBytes()
    {
        byte[] golden = Hex("05000000 09000000 28000000");
        MessageHeader header = MessageHeader.Parse(golden);

        Assert.Equal(new MessageHeader((uint)FrontendRequest.SetMemTable, MessageFlags.Version1 | MessageFlags.NeedReply, 40), header);
        byte[] written = new byte[12];
        header.Write(written);
        Assert.Equal(golden, written);
    }

    [Theory]
    [InlineData("01000000 00000000 00000000", "version 0")]
    [InlineData("01000000 02000000 00000000", "version 2")]
    [InlineData("01000000 11000000 00000000", "reserved header flags")]
    [InlineData("01000000 01000080 00000000", "reserved header flags")]
    public void Header_WrongVersionOrReservedFlag_Throws(string bytes, string cause)
    {
        ProtocolException e = Assert.Throws<ProtocolException>(() => MessageHeader.Parse(Hex(bytes)));
        Assert.Contains(cause, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UInt64_RoundTrips() => Golden("0807060504030201", new UInt64Payload(0x0102030405060708));

    [Fact]
    public void VringState_RoundTrips() => Golden("03000000 00800080", new VringState(3, 0x80008000));

    [Fact]
    public void VringAddress_RoundTrips() => Golden(
        "01000000 01000000 0010000000000000 0030000000000000 0020000000000000 0040000000000000",
        new VringAddress(1, 1, new FrontendAddress(0x1000), new FrontendAddress(0x3000), new FrontendAddress(0x2000), new GuestAddress(0x4000)));

    [Theory]
    [InlineData("0500000000000000", 5, true)]
    [InlineData("ff01000000000000", 255, false)]
    public void VringFd_RoundTrips(string bytes, byte index, bool hasFd) => Golden(bytes, new VringFd(index, hasFd));

    [Fact]
    public void VringFd_ReservedBit_Throws()
        => Assert.Throws<ProtocolException>(() => Parse<VringFd>("0002000000000000"));

    [Fact]
    public void LogDescription_RoundTrips() => Golden("0010000000000000 0020000000000000", new LogDescription(0x1000, 0x2000));

    [Fact]
    public void Iotlb_RoundTrips() => Golden(
        "0010000000000000 0020000000000000 0030000000000000 03 02 000000000000",
        new IotlbMessage(0x1000, 0x2000, new FrontendAddress(0x3000), IotlbPermissions.Read | IotlbPermissions.Write, IotlbType.Update));

    [Fact]
    public void Iotlb_WithoutTailPadding_IsTaken() => Assert.Equal(
        IotlbType.Invalidate, Parse<IotlbMessage>("0010000000000000 0020000000000000 0030000000000000 00 03").Type);

    [Fact]
    public void ConfigDescription_RoundTrips() => Golden("08000000 3c000000 01000000", new ConfigDescription(8, 60, 1));

    [Fact]
    public void Inflight_RoundTrips() => Golden(
        "4010000000000000 0000000000000000 0200 8000 00000000", new InflightDescription(0x1040, 0, 2, 128));

    [Fact]
    public void Inflight_WithoutTailPadding_IsTaken() => Assert.Equal(
        new InflightDescription(64, 0, 1, 2), Parse<InflightDescription>("4000000000000000 0000000000000000 0100 0200"));

    [Fact]
    public void DeviceState_RoundTrips() => Golden("01000000 00000000", new DeviceStateTransfer(DeviceStateDirection.Load, 0));

    [Fact]
    public void VringArea_RoundTrips() => Golden(
        "0100000000000000 0010000000000000 0020000000000000", new VringArea(new VringFd(1, true), 0x1000, 0x2000));

    [Fact]
    public void SharedMemoryMapping_RoundTrips() => Golden(
        "02 00000000000000 0010000000000000 0020000000000000 0030000000000000 0100000000000000",
        new SharedMemoryMapping(2, 0x1000, 0x2000, 0x3000, true));

    [Fact]
    public void SharedObject_RoundTrips() => Golden(
        "00112233445566778899aabbccddeeff", new SharedObjectId(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff")));

    [Fact]
    public void SharedMemoryConfig_RoundTrips()
    {
        byte[] bytes = new byte[SharedMemoryConfig.WireSize];
        var writer = new MessageWriter(bytes);
        SharedMemoryConfig.Write(ref writer, [0x1000, 0, 0x2000]);

        Assert.Equal(2056, writer.Position);
        Assert.Equal(Hex("02000000 00000000 0010000000000000 0000000000000000 0020000000000000"), bytes[..32]);
        Assert.All(bytes[32..], static b => Assert.Equal(0, b));
        var reader = new MessageReader("GET_SHMEM_CONFIG", bytes);
        ulong[] sizes = SharedMemoryConfig.Read(ref reader);
        reader.End();
        Assert.Equal(256, sizes.Length);
        Assert.Equal(0x2000UL, sizes[2]);
    }

    [Fact]
    public void MemoryTable_PlainRegions_AreThirtyTwoBytes()
    {
        byte[] golden = Hex(
            "02000000 00000000" +
            "0000000000000000 0000080000000000 0000a0f7ff7f0000 0000000000000000" +
            "0000000001000000 0000001000000000 000000e0ff7f0000 0000080000000000");
        MemoryRegion[] regions = ReadTable(golden, out bool xen);

        Assert.False(xen);
        Assert.Equal(new MemoryRegion(new GuestAddress(0), 0x80000, new FrontendAddress(0x7ffff7a00000), 0), regions[0]);
        Assert.Equal(new MemoryRegion(new GuestAddress(0x100000000), 0x10000000, new FrontendAddress(0x7fffe0000000), 0x80000), regions[1]);
        byte[] written = new byte[MemoryTable.TableSize(2, xen: false)];
        var writer = new MessageWriter(written);
        MemoryTable.Write(ref writer, regions, xen: false);
        Assert.Equal(golden, written);
    }

    [Theory]
    [InlineData("00010000", XenMmapFlags.NoAdvanceMap)]
    [InlineData("08000000", XenMmapFlags.NoAdvanceMap)]
    [InlineData("0a000000", XenMmapFlags.NoAdvanceMap | XenMmapFlags.Grant)]
    [InlineData("01000000", XenMmapFlags.Foreign)]
    public void MemoryTable_XenRegion_IsFortyBytesAndFoldsBothNumbers(string flags, XenMmapFlags expected)
    {
        MemoryRegion[] regions = ReadTable(
            Hex("01000000 00000000 0000004000000000 0010000000000000 0000000000000000 0000000000000000" + flags + "07000000"), out bool xen);

        Assert.True(xen);
        Assert.Equal(expected, regions[0].XenFlags);
        Assert.Equal(7u, regions[0].XenDomain);
    }

    [Theory]
    [InlineData(32, false)]
    [InlineData(40, true)]
    public void MemoryTable_SingleRegion_IsToldBySize(int size, bool expected)
    {
        byte[] payload = new byte[8 + size];
        payload[8 + 9] = 0x10;
        var reader = new MessageReader("ADD_MEM_REG", payload);
        MemoryRegion region = MemoryTable.ReadSingle(ref reader, out bool xen);
        reader.End();

        Assert.Equal(expected, xen);
        Assert.Equal(0x1000UL, region.Size);
        byte[] written = new byte[MemoryTable.SingleSize(xen)];
        var writer = new MessageWriter(written);
        MemoryTable.WriteSingle(ref writer, region, xen);
        Assert.Equal(payload, written);
    }

    [Theory]
    [InlineData(1, 31)]
    [InlineData(1, 33)]
    [InlineData(2, 32)]
    [InlineData(0, 32)]
    [InlineData(254, 254 * 32)]
    [InlineData(0xffffffff, 32)]
    public void MemoryTable_CountAndSizeDisagree_Throws(uint count, int bytes)
    {
        byte[] payload = new byte[8 + bytes];
        BitConverter.TryWriteBytes(payload, count);
        Assert.Throws<ProtocolException>(() => ReadTable(payload, out _));
    }

    [Fact]
    public void MemoryTable_MoreThanEightRegions_AreRead()
    {
        byte[] payload = new byte[MemoryTable.TableSize(253, xen: true)];
        payload[0] = 253;
        Assert.Equal(253, ReadTable(payload, out bool xen).Length);
        Assert.True(xen);
    }

    [Fact]
    public void Reader_ShortOrLongPayload_Throws()
    {
        Assert.Throws<ProtocolException>(() => Parse<VringState>("00000000 000000"));
        ProtocolException e = Assert.Throws<ProtocolException>(() => Parse<VringState>("00000000 00000000 00"));
        Assert.Contains("1 bytes left over", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(5, "SET_MEM_TABLE")]
    [InlineData(44, "GET_SHMEM_CONFIG")]
    [InlineData(45, "message 45")]
    public void Names_AreThoseOfTheSpecification(uint request, string name)
        => Assert.Equal(name, RequestNames.NameOf((FrontendRequest)request));

    private static void Golden<T>(string hex, T value)
        where T : struct, IPayload<T>
    {
        byte[] golden = Hex(hex);
        Assert.Equal(T.WireSize, golden.Length);
        byte[] written = new byte[T.WireSize];
        var writer = new MessageWriter(written);
        value.Write(ref writer);
        Assert.Equal(T.WireSize, writer.Position);
        Assert.Equal(golden, written);
        Assert.Equal(value, Parse<T>(hex));
    }

    private static T Parse<T>(string hex)
        where T : struct, IPayload<T>
    {
        var reader = new MessageReader("test", Hex(hex));
        T value = reader.ReadPayload<T>();
        reader.End();
        return value;
    }

    private static MemoryRegion[] ReadTable(byte[] payload, out bool xen)
    {
        var reader = new MessageReader("SET_MEM_TABLE", payload);
        MemoryRegion[] regions = MemoryTable.Read(ref reader, out xen);
        reader.End();
        return regions;
    }

    private static byte[] Hex(string text)
    {
        string digits = text.Replace(" ", string.Empty, StringComparison.Ordinal);
        return [.. Enumerable.Range(0, digits.Length / 2).Select(i => byte.Parse(digits.AsSpan(i * 2, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
    }
}
