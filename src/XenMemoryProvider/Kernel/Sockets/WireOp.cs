namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>A request of the socket protocol: see the room's README for the bodies.</summary>
public enum WireOp : uint
{
    Open = 1,
    Unmap = 2,
    Restrict = 3,

    MapForeign = 16,
    MapResource = 17,
    GetResourceSize = 18,
    DmOp = 19,
    Hypercall = 20,

    MapGrants = 32,
    GrantCopy = 33,
    SetUnmapNotify = 34,

    AllocGrants = 48,

    BindInterdomain = 64,
    BindUnbound = 65,
    BindVirq = 66,
    Unbind = 67,

    /// <summary>Control only: a line of text in, lines of text out.</summary>
    Command = 96,
}
