using System.Buffers.Binary;

namespace XenVhostMaster.Transports.Pci;

/// <summary>
/// One function's configuration space: bytes, and for each byte which bits a guest may change. What a change means is the
/// derived class's.
/// </summary>
internal abstract class PciFunction
{
    private readonly byte[] _config = new byte[PciConfig.Size];
    private readonly byte[] _writable = new byte[PciConfig.Size];

    /// <summary>Where it sits on bus 0.</summary>
    public int Device { get; internal set; }

    /// <summary>Little-endian; what no access can name reads as ones.</summary>
    public virtual uint ReadConfig(uint register, int size)
    {
        if (!InSpace(register, size))
            return Ones(size);

        uint word = BinaryPrimitives.ReadUInt32LittleEndian(_config.AsSpan((int)register & ~3));
        return word >> (int)(8 * (register & 3)) & Ones(size);
    }

    /// <summary>Changes the bits that may change.</summary>
    public virtual void WriteConfig(uint register, int size, uint value)
    {
        if (!InSpace(register, size))
            return;

        for (int i = 0; i < size; i++)
        {
            int at = (int)register + i;
            byte mask = _writable[at];
            _config[at] = (byte)(_config[at] & ~mask | (byte)(value >> (8 * i)) & mask);
        }
    }

    /// <summary>True for an access that stays within one aligned 32-bit word of the 256 bytes.</summary>
    protected static bool InSpace(uint register, int size)
        => register < PciConfig.Size && size is 1 or 2 or 4 && (register & 3) + (uint)size <= 4;

    protected static uint Ones(int size) => size >= 4 ? uint.MaxValue : (1u << (8 * size)) - 1;

    protected byte Get8(int at) => _config[at];

    protected ushort Get16(int at) => BinaryPrimitives.ReadUInt16LittleEndian(_config.AsSpan(at));

    protected uint Get32(int at) => BinaryPrimitives.ReadUInt32LittleEndian(_config.AsSpan(at));

    protected void Set8(int at, byte value, byte writable = 0)
    {
        _config[at] = value;
        _writable[at] = writable;
    }

    protected void Set16(int at, ushort value, ushort writable = 0)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(_config.AsSpan(at), value);
        BinaryPrimitives.WriteUInt16LittleEndian(_writable.AsSpan(at), writable);
    }

    protected void Set32(int at, uint value, uint writable = 0)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(_config.AsSpan(at), value);
        BinaryPrimitives.WriteUInt32LittleEndian(_writable.AsSpan(at), writable);
    }

    /// <summary>Changes a value behind the guest's back and leaves its writable bits alone.</summary>
    protected void Poke16(int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(_config.AsSpan(at), value);
}
