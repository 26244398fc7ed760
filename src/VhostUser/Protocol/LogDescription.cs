namespace VhostUser.Protocol;

/// <summary>The dirty log of SET_LOG_BASE.</summary>
/// <param name="Size">Bytes of bitmap.</param>
/// <param name="Offset">Where it starts in the file.</param>
internal readonly record struct LogDescription(ulong Size, ulong Offset) : IPayload<LogDescription>
{
    public static int WireSize => 16;

    public static LogDescription Read(ref MessageReader reader) => new(reader.ReadUInt64(), reader.ReadUInt64());

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt64(Size);
        writer.WriteUInt64(Offset);
    }
}
