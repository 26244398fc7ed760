namespace VhostUser.Protocol;

/// <summary>"Vring address description" of SET_VRING_ADDR.</summary>
/// <param name="Index">The ring, from 0; unchecked.</param>
/// <param name="Flags">Bit 0 (VHOST_VRING_F_LOG): log writes to the used ring at <paramref name="LogGuestAddress"/>.</param>
/// <param name="Descriptors">Descriptor table, or the packed ring.</param>
/// <param name="Used">Used ring, or device event suppression.</param>
/// <param name="Available">Available ring, or driver event suppression.</param>
/// <param name="LogGuestAddress">Where used-ring writes are logged; may lie outside the regions.</param>
internal readonly record struct VringAddress(
    uint Index,
    uint Flags,
    FrontendAddress Descriptors,
    FrontendAddress Used,
    FrontendAddress Available,
    GuestAddress LogGuestAddress) : IPayload<VringAddress>
{
    /// <summary>VHOST_VRING_F_LOG.</summary>
    public const uint LogFlag = 1;

    public static int WireSize => 40;

    public bool LogsUsedRing => (Flags & LogFlag) != 0;

    public static VringAddress Read(ref MessageReader reader) => new(
        reader.ReadUInt32(),
        reader.ReadUInt32(),
        new FrontendAddress(reader.ReadUInt64()),
        new FrontendAddress(reader.ReadUInt64()),
        new FrontendAddress(reader.ReadUInt64()),
        new GuestAddress(reader.ReadUInt64()));

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt32(Index);
        writer.WriteUInt32(Flags);
        writer.WriteUInt64(Descriptors.Value);
        writer.WriteUInt64(Used.Value);
        writer.WriteUInt64(Available.Value);
        writer.WriteUInt64(LogGuestAddress.Value);
    }
}
