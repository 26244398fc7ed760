namespace XenModel.Guests.Virtio;

/// <summary>Memory that the device may touch: where the guest's code has it, and what the driver tells the device.</summary>
internal readonly unsafe struct DmaBuffer
{
    private readonly byte* _pointer;

    public DmaBuffer(byte* pointer, ulong address, int length)
    {
        _pointer = pointer;
        Address = address;
        Length = length;
    }

    /// <summary>What goes into descriptors: a guest-physical address, or a grant reference times the page size.</summary>
    public ulong Address { get; }

    public int Length { get; }

    /// <summary>The same bytes for the guest's code. Valid while the <see cref="DmaMemory"/> is not disposed.</summary>
    public byte* Pointer => _pointer;

    public Span<byte> Bytes => new(_pointer, Length);

    public DmaBuffer Slice(int start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)start, (uint)Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)length, (uint)(Length - start));
        return new DmaBuffer(_pointer + start, Address + (uint)start, length);
    }
}
