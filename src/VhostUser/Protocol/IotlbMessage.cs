namespace VhostUser.Protocol;

/// <summary>struct vhost_iotlb_msg, in both directions.</summary>
/// <param name="Iova">First I/O virtual address.</param>
/// <param name="Size">Bytes.</param>
/// <param name="UserAddress">What is behind it; guest-physical under GPA_ADDRESSES.</param>
/// <param name="Permissions">For reading, writing or both.</param>
/// <param name="Type">Miss, update, invalidate or fail.</param>
internal readonly record struct IotlbMessage(
    ulong Iova, ulong Size, FrontendAddress UserAddress, IotlbPermissions Permissions, IotlbType Type) : IPayload<IotlbMessage>
{
    /// <summary>As the specification draws it; C front-ends send the struct with its tail padding.</summary>
    public const int PackedSize = 26;

    public static int WireSize => 32;

    public static IotlbMessage Read(ref MessageReader reader)
    {
        var message = new IotlbMessage(
            reader.ReadUInt64(),
            reader.ReadUInt64(),
            new FrontendAddress(reader.ReadUInt64()),
            (IotlbPermissions)reader.ReadByte(),
            (IotlbType)reader.ReadByte());
        if (reader.Remaining == WireSize - PackedSize)
            reader.Skip(WireSize - PackedSize);

        return message;
    }

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt64(Iova);
        writer.WriteUInt64(Size);
        writer.WriteUInt64(UserAddress.Value);
        writer.WriteByte((byte)Permissions);
        writer.WriteByte((byte)Type);
        writer.WriteZeroes(WireSize - PackedSize);
    }
}
