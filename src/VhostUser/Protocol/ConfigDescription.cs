namespace VhostUser.Protocol;

/// <summary>What part of the configuration space GET_CONFIG or SET_CONFIG is about; the bytes follow.</summary>
/// <param name="Offset">Bytes into the space.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Flags">0: the driver writes; 1 or 2 (front-ends differ): a migration does.</param>
internal readonly record struct ConfigDescription(uint Offset, uint Size, uint Flags) : IPayload<ConfigDescription>
{
    public static int WireSize => 12;

    public static ConfigDescription Read(ref MessageReader reader) => new(reader.ReadUInt32(), reader.ReadUInt32(), reader.ReadUInt32());

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt32(Offset);
        writer.WriteUInt32(Size);
        writer.WriteUInt32(Flags);
    }
}
