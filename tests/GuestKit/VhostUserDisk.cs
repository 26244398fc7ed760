namespace GuestKit;

/// <summary>A disk of a QEMU guest that a vhost-user daemon provides: QEMU's vhost-user-blk-pci and its knobs.</summary>
public sealed record VhostUserDisk(string SocketPath)
{
    public int Queues { get; init; } = 1;

    /// <summary>Descriptors per queue: a power of two, at most 1024.</summary>
    public int QueueSize { get; init; } = 128;

    public bool Packed { get; init; }

    public bool EventIndex { get; init; } = true;

    public bool IndirectDescriptors { get; init; } = true;

    /// <summary>QEMU tries once per second to reach a daemon that went away; otherwise it never does.</summary>
    public bool Reconnect { get; init; }

    internal IEnumerable<string> ToArguments(int index) =>
    [
        "-chardev", $"socket,id=disk{index},path={SocketPath}" + (Reconnect ? ",reconnect=1" : ""),
        "-device",
        $"vhost-user-blk-pci,chardev=disk{index},num-queues={Queues},queue-size={QueueSize},"
            + $"packed={OnOff(Packed)},event_idx={OnOff(EventIndex)},indirect_desc={OnOff(IndirectDescriptors)}",
    ];

    private static string OnOff(bool value) => value ? "on" : "off";
}
