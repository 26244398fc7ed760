namespace VhostUser.Protocol;

/// <summary>SHMEM_MAP and SHMEM_UNMAP: part of a file shown to the guest in one of the device's shared memory regions.</summary>
/// <param name="RegionId">The shared memory region (virtio's shmid).</param>
/// <param name="FdOffset">Where the part starts in the file.</param>
/// <param name="RegionOffset">Where it appears in the region.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Writable">Whether the guest may write (bit 0 of the flags).</param>
internal readonly record struct SharedMemoryMapping(byte RegionId, ulong FdOffset, ulong RegionOffset, ulong Length, bool Writable) : IPayload<SharedMemoryMapping>
{
    private const ulong WritableFlag = 1;

    public static int WireSize => 40;

    public static SharedMemoryMapping Read(ref MessageReader reader)
    {
        byte region = reader.ReadByte();
        reader.Skip(7);
        ulong fdOffset = reader.ReadUInt64();
        ulong regionOffset = reader.ReadUInt64();
        ulong length = reader.ReadUInt64();
        ulong flags = reader.ReadUInt64();
        if ((flags & ~WritableFlag) != 0)
            throw new ProtocolException(reader.Message, $"reserved flags 0x{flags:x}");

        return new SharedMemoryMapping(region, fdOffset, regionOffset, length, (flags & WritableFlag) != 0);
    }

    public void Write(ref MessageWriter writer)
    {
        writer.WriteByte(RegionId);
        writer.WriteZeroes(7);
        writer.WriteUInt64(FdOffset);
        writer.WriteUInt64(RegionOffset);
        writer.WriteUInt64(Length);
        writer.WriteUInt64(Writable ? WritableFlag : 0);
    }
}
