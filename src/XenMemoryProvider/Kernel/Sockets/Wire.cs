using System.Runtime.InteropServices;
using VhostXen.Linux;

namespace XenMemoryProvider.Kernel.Sockets;

/// <summary>The fixed parts of the socket protocol's messages: see the room's README.</summary>
public static class Wire
{
    /// <summary>The longest body, in bytes.</summary>
    public const int MaxBody = 16 << 20;
    /// <summary>The most descriptors of one reply.</summary>
    public const int MaxFds = 253;
    /// <summary><see cref="Event.Command"/>: let the port be delivered again.</summary>
    public const uint EventUnmask = 1;
    /// <summary><see cref="Event.Command"/>: signal the other end of the port.</summary>
    public const uint EventNotify = 2;

    /// <summary>Before every body.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct Header
    {
        /// <summary>Bytes of the body.</summary>
        public uint Length;
        /// <summary>A <see cref="WireOp"/> in a request; 0 or more, or a negative errno, in a reply.</summary>
        public int OpOrResult;
        /// <summary>Descriptors that came with the first byte; 0 in a request.</summary>
        public uint FdCount;
        public uint Reserved;
    }

    /// <summary>Before the runs of frames of <see cref="WireOp.MapForeign"/>.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct MapForeign
    {
        /// <summary>0: a new mapping; else add to that one.</summary>
        public ulong Token;
        public uint Domid;
        /// <summary>PROT_ flags.</summary>
        public uint Prot;
        /// <summary>The sum of the runs.</summary>
        public uint Pages;
        public uint Runs;
    }

    /// <summary>Consecutive guest frames.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct GfnRun
    {
        public ulong First;
        public uint Count;
        public uint Reserved;
    }

    /// <summary><see cref="WireOp.MapResource"/> and <see cref="WireOp.GetResourceSize"/>.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct Resource
    {
        public uint Domid;
        /// <summary>A <see cref="Abi.MemoryOp.ResourceType"/>.</summary>
        public uint Type;
        public uint Id;
        public uint Frame;
        public uint Count;
        public uint Reserved;
    }

    /// <summary>The start of a reply that maps pages.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct Mapping
    {
        /// <summary>Names the mapping; not 0.</summary>
        public ulong Token;
        /// <summary>Objects this connection has not seen: as many ids follow, as many descriptors came along.</summary>
        public uint NewObjects;
        public uint Runs;
        public uint ErrorRuns;
        public uint Reserved;
    }

    /// <summary>Consecutive pages of a mapping that are consecutive in an object.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct MapRun
    {
        /// <summary>First page, counted from the request's first.</summary>
        public uint Page;
        public uint Count;
        public uint Object;
        public uint Reserved;
        /// <summary>In the object, in bytes.</summary>
        public ulong Offset;
    }

    /// <summary>Consecutive pages that failed alike.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct ErrorRun
    {
        public uint Page;
        public uint Count;
        /// <summary>A negative errno.</summary>
        public int Error;
        public uint Reserved;
    }

    /// <summary><see cref="WireOp.SetUnmapNotify"/>.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct UnmapNotify
    {
        public ulong Token;
        /// <summary>From the start of the mapping.</summary>
        public ulong ByteOffset;
        /// <summary><see cref="Abi.Gntdev.UnmapNotifyClearByte"/>, <see cref="Abi.Gntdev.UnmapNotifySendEvent"/>.</summary>
        public uint Action;
        public uint Port;
    }

    /// <summary>What the client writes into the descriptor of its event channels.</summary>
    [StructLayout(LayoutKind.Sequential), NotInC("our own protocol")]
    public struct Event
    {
        public uint Command;
        public uint Port;
    }
}
