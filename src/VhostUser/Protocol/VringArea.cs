namespace VhostUser.Protocol;

/// <summary>A doorbell page of a ring (VRING_HOST_NOTIFIER_MSG). This library does not send it: it has no hardware doorbells.</summary>
/// <param name="Ring">The ring, and whether a descriptor comes along.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Offset">Where it starts in the file.</param>
internal readonly record struct VringArea(VringFd Ring, ulong Size, ulong Offset) : IPayload<VringArea>
{
    public static int WireSize => 24;

    public static VringArea Read(ref MessageReader reader) => new(VringFd.Read(ref reader), reader.ReadUInt64(), reader.ReadUInt64());

    public void Write(ref MessageWriter writer)
    {
        Ring.Write(ref writer);
        writer.WriteUInt64(Size);
        writer.WriteUInt64(Offset);
    }
}
