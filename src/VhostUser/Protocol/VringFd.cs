namespace VhostUser.Protocol;

/// <summary>The u64 of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR.</summary>
/// <param name="Index">The ring, 0 to 255.</param>
/// <param name="HasFd">False when no descriptor comes with the message: poll, or notify in band.</param>
internal readonly record struct VringFd(byte Index, bool HasFd) : IPayload<VringFd>
{
    /// <summary>VHOST_USER_VRING_NOFD_MASK.</summary>
    public const ulong NoFd = 0x100;

    private const ulong Known = 0x1ff;

    public static int WireSize => 8;

    public static VringFd Read(ref MessageReader reader)
    {
        ulong value = reader.ReadUInt64();
        if ((value & ~Known) != 0)
            throw new ProtocolException(reader.Message, $"reserved bits in 0x{value:x}");

        return new VringFd((byte)value, (value & NoFd) == 0);
    }

    public void Write(ref MessageWriter writer) => writer.WriteUInt64(Index | (HasFd ? 0 : NoFd));
}
