using System.Buffers.Binary;
using Backends.Block.Stores;
using static VhostXen.Linux.LibC;

namespace Fuzz.Oracles;

/// <summary>
/// A virtio block device by the text of the standard (virtio 1.3, 5.2.6), one request after the other on a disk of sectors
/// in a dictionary, with no code of the product's. What the standard leaves open is as the product's documentation says:
/// what has no proper length or lies outside is an I/O error, what is not known or not offered is unsupported.
/// </summary>
internal sealed class NaiveDisk
{
    private const int Sector = 512;
    private const byte Ok = 0;
    private const byte IoError = 1;
    private const byte Unsupported = 2;

    private readonly Dictionary<ulong, byte[]> _sectors = [];
    private int _failAt;
    private int _error;

    /// <summary>In sectors.</summary>
    public required ulong Capacity { get; init; }

    public required bool ReadOnly { get; init; }

    public required bool CanDiscard { get; init; }

    public required byte[] Serial { get; init; }

    /// <summary>A write is to be stable when it completes.</summary>
    public bool Durable { get; set; }

    /// <summary>What the store should have been asked for.</summary>
    public List<StoreStep> Steps { get; } = [];

    /// <summary>Sectors that may be other than at the start.</summary>
    public SortedSet<ulong> Changed { get; } = [];

    public void Begin(int failAt, int error)
    {
        Steps.Clear();
        Changed.Clear();
        _sectors.Clear();
        _failAt = failAt;
        _error = error;
    }

    public void Preset(ulong sector, byte[] content) => _sectors[sector] = content;

    public byte[] Read(ulong sector) => _sectors.GetValueOrDefault(sector) ?? new byte[Sector];

    /// <summary>Does one request.</summary>
    /// <param name="readable">What the driver lets the device read.</param>
    /// <param name="writable">What the device may write, as it was; as it should be afterwards.</param>
    /// <returns>The length in the used entry.</returns>
    public uint Do(byte[] readable, byte[] writable)
    {
        if (writable.Length == 0)
            return 0;

        if (readable.Length < 16)
            return End(writable, IoError, 0);

        uint type = BinaryPrimitives.ReadUInt32LittleEndian(readable);
        ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(readable.AsSpan(8));
        byte[] data = readable[16..];
        return type switch
        {
            0 => DoRead(sector, writable),
            1 => End(writable, DoWrite(sector, data), 0),
            4 => End(writable, Ask(new StoreStep(StoreOperation.Flush, 0, 0, false, false)), 0),
            8 => DoIdentify(writable),
            11 or 13 => End(writable, DoRanges(type == 11, data), 0),
            _ => End(writable, Unsupported, 0),
        };
    }

    private static uint End(byte[] writable, byte status, int data)
    {
        writable[^1] = status;
        return data == writable.Length - 1 ? (uint)writable.Length : (uint)data;
    }

    private uint DoRead(ulong sector, byte[] writable)
    {
        int length = writable.Length - 1;
        if (length == 0 || length % Sector != 0 || !IsInside(sector, (ulong)(length / Sector)))
            return End(writable, IoError, 0);

        byte status = Ask(new StoreStep(StoreOperation.Read, sector * Sector, (ulong)length, false, false));
        if (status != Ok)
            return End(writable, status, 0);

        for (int at = 0; at < length; at += Sector)
            Read(sector + (ulong)(at / Sector)).CopyTo(writable, at);

        return End(writable, Ok, length);
    }

    private byte DoWrite(ulong sector, byte[] data)
    {
        if (ReadOnly || data.Length == 0 || data.Length % Sector != 0 || !IsInside(sector, (ulong)(data.Length / Sector)))
            return IoError;

        byte status = Ask(new StoreStep(StoreOperation.Write, sector * Sector, (ulong)data.Length, Durable, false));
        for (int at = 0; status == Ok && at < data.Length; at += Sector)
            Set(sector + (ulong)(at / Sector), data[at..(at + Sector)]);

        return status;
    }

    private uint DoIdentify(byte[] writable)
    {
        int length = Math.Min(Serial.Length, writable.Length - 1);
        Array.Copy(Serial, writable, length);
        return End(writable, Ok, length);
    }

    private byte DoRanges(bool discard, byte[] data)
    {
        if (ReadOnly)
            return IoError;

        if (discard && !CanDiscard)
            return Unsupported;

        if (data.Length is 0 or > 512 || data.Length % 16 != 0)
            return IoError;

        for (int at = 0; at < data.Length; at += 16)
        {
            (ulong sector, uint sectors, uint flags) = Range(data, at);
            if ((flags & (discard ? uint.MaxValue : ~1u)) != 0)
                return Unsupported;

            if (sectors == 0 || sectors > (discard ? 4u << 20 : 128u << 10) || !IsInside(sector, sectors))
                return IoError;
        }

        byte status = Ok;
        for (int at = 0; at < data.Length && status == Ok; at += 16)
        {
            (ulong sector, uint sectors, uint flags) = Range(data, at);
            status = Ask(new StoreStep(
                discard ? StoreOperation.Discard : StoreOperation.WriteZeroes, sector * Sector, (ulong)sectors * Sector, Durable, !discard && flags == 1));
            if (status == Ok)
                Clear(sector, sectors);
        }

        return status;
    }

    private void Clear(ulong sector, uint sectors)
    {
        foreach (ulong known in _sectors.Keys.Where(known => known >= sector && known - sector < sectors).ToArray())
            Set(known, new byte[Sector]);
    }

    private static (ulong Sector, uint Sectors, uint Flags) Range(byte[] data, int at) => (
        BinaryPrimitives.ReadUInt64LittleEndian(data.AsSpan(at)),
        BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(at + 8)),
        BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(at + 12)));

    private void Set(ulong sector, byte[] content)
    {
        _sectors[sector] = content;
        Changed.Add(sector);
    }

    private byte Ask(StoreStep step)
    {
        Steps.Add(step);
        if (Steps.Count - 1 != _failAt)
            return Ok;

        return _error == EOPNOTSUPP ? Unsupported : IoError;
    }

    private bool IsInside(ulong sector, ulong sectors) => sector < Capacity && sectors <= Capacity - sector;
}
