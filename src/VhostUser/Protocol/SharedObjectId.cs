namespace VhostUser.Protocol;

/// <summary>The UUID under which a dma-buf is shared between devices (GET_SHARED_OBJECT and its kin).</summary>
internal readonly record struct SharedObjectId(Guid Value) : IPayload<SharedObjectId>
{
    public static int WireSize => 16;

    public static SharedObjectId Read(ref MessageReader reader) => new(new Guid(reader.ReadBytes(WireSize), bigEndian: true));

    public void Write(ref MessageWriter writer)
    {
        Span<byte> bytes = stackalloc byte[WireSize];
        Value.TryWriteBytes(bytes, bigEndian: true, out _);
        writer.WriteBytes(bytes);
    }
}
