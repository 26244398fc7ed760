namespace VhostUser.Protocol;

/// <summary>A plain u64: features, acknowledgements (0 for success), counts, a MAC address.</summary>
internal readonly record struct UInt64Payload(ulong Value) : IPayload<UInt64Payload>
{
    public static readonly UInt64Payload Success = new(0);
    public static readonly UInt64Payload Failure = new(1);

    public static int WireSize => 8;

    public static UInt64Payload Read(ref MessageReader reader) => new(reader.ReadUInt64());

    public void Write(ref MessageWriter writer) => writer.WriteUInt64(Value);
}
