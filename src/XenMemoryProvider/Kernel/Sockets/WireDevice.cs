namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>What a connection of the socket protocol stands for.</summary>
public enum WireDevice : uint
{
    Privcmd = 1,
    Gntdev = 2,
    Gntalloc = 3,
    Evtchn = 4,
    Xenstore = 5,

    /// <summary>Not a device: commands to the server itself.</summary>
    Control = 6,
}
