namespace VhostUser.Protocol;

/// <summary>What SET_DEVICE_STATE_FD asks for.</summary>
/// <param name="Direction">Save or load.</param>
/// <param name="Phase">0: with all rings stopped; nothing else is defined.</param>
internal readonly record struct DeviceStateTransfer(DeviceStateDirection Direction, uint Phase) : IPayload<DeviceStateTransfer>
{
    public const uint PhaseStopped = 0;

    /// <summary>Bit of the reply: the descriptor that came with the request is used, none comes with the reply.</summary>
    public const ulong NoFdReturned = 0x100;

    public static int WireSize => 8;

    public static DeviceStateTransfer Read(ref MessageReader reader) => new((DeviceStateDirection)reader.ReadUInt32(), reader.ReadUInt32());

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt32((uint)Direction);
        writer.WriteUInt32(Phase);
    }
}
