namespace VhostUser.Protocol;

/// <summary>The in-flight region of GET_INFLIGHT_FD and SET_INFLIGHT_FD.</summary>
/// <param name="MmapSize">Bytes of all queues together.</param>
/// <param name="MmapOffset">Where the region starts in the file.</param>
/// <param name="QueueCount">Queues in it.</param>
/// <param name="QueueSize">Entries of each.</param>
internal readonly record struct InflightDescription(ulong MmapSize, ulong MmapOffset, ushort QueueCount, ushort QueueSize) : IPayload<InflightDescription>
{
    /// <summary>As the specification draws it; C front-ends send the struct with its tail padding.</summary>
    public const int PackedSize = 20;

    public static int WireSize => 24;

    public static InflightDescription Read(ref MessageReader reader)
    {
        var description = new InflightDescription(reader.ReadUInt64(), reader.ReadUInt64(), reader.ReadUInt16(), reader.ReadUInt16());
        if (reader.Remaining == WireSize - PackedSize)
            reader.Skip(WireSize - PackedSize);

        return description;
    }

    public void Write(ref MessageWriter writer)
    {
        writer.WriteUInt64(MmapSize);
        writer.WriteUInt64(MmapOffset);
        writer.WriteUInt16(QueueCount);
        writer.WriteUInt16(QueueSize);
        writer.WriteZeroes(WireSize - PackedSize);
    }
}
